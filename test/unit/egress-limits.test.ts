/** How long and how large outputs may become. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { configuredLimits, longest, strictest, withinLimits, withinSize } from '../../src/egress/limits.ts';
import { LimitWatch } from '../../src/egress/limit-watch.ts';
import { limitsSchema } from '../../src/egress/request/limits.ts';
import type { Limits } from '../../src/egress/request/limits.ts';
import type { SegmentLog } from '../../src/egress/log/fold.ts';
import { foldLog } from '../../src/egress/log/fold.ts';
import type { EgressOutput, EgressPlan, FileOutput } from '../../src/egress/plan/types.ts';
import { DEFAULT_AUDIO, DEFAULT_VIDEO } from '../../src/egress/plan/presets.ts';
import { RequestError } from '../../src/egress/request/errors.ts';
import { parseOptions } from '../../src/egress/request/options.ts';
import { chunkLine, EPOCH_MS } from '../support/log-fixtures.ts';

const file = (fileType: FileOutput['fileType'] = 'mp4'): EgressOutput => ({
  ...{ type: 'file', filepath: '', fileType, disableManifest: false, storage: 0 },
});
const stream: EgressOutput = { type: 'stream', protocol: 'rtmp', urls: [] };

function plan(limits: Limits, outputs: EgressOutput[] = [file()]): EgressPlan {
  return {
    ...{ egressId: 'EG_1', roomName: 'r', outputs, storages: [], options: { limits } },
    source: { type: 'tracks', audioTrackId: 'TR_A', videoTrackId: 'TR_V' },
    choice: { program: 'auto' },
    ...{ video: { ...DEFAULT_VIDEO }, audio: { ...DEFAULT_AUDIO } },
  };
}

/** Chunks of two seconds. */
function log(count: number, bytes: number, extension = 'ts'): SegmentLog {
  const chunks = Array.from({ length: count }, (_, number) =>
    chunkLine(number * 2, 2, {
      ...{ number, bytes, file: `r0-00000${number}.${extension}`, videoFrames: 60, audioFrames: 86 },
    }),
  );
  const container = extension === 'ts' ? 'mpegts' : 'matroska';
  return foldLog({ egressId: 'EG_1', epochMs: EPOCH_MS, container }, [
    { chunks, gaps: [], events: [], endNs: count * 2e9, problems: [] },
  ]);
}

describe('which limit holds', () => {
  it('is the stricter one of the request and the configuration', () => {
    const configured = configuredLimits({
      ...{ fileMaxDuration: 60, fileMaxSize: 1e6, segmentsMaxDuration: 0 },
      ...{ streamMaxDuration: 30, imagesMaxDuration: 0 },
    });
    expect(configured).toEqual({
      ...{ file: { max_duration: 60, max_size: 1e6 }, segments: {} },
      ...{ stream: { max_duration: 30 }, images: {} },
    });
    const both = strictest(
      { file: { max_duration: 90, max_size: 50_000 }, images: { max_duration: 5 } },
      configured,
    );
    expect(both).toMatchObject({
      file: { max_duration: 60, max_size: 50_000 },
      stream: { max_duration: 30 },
      images: { max_duration: 5 },
    });
    expect(withinLimits(plan({}), configured).options.limits).toEqual(configured);
  });

  it('is the shortest of the outputs that are there', () => {
    const limits = { file: { max_duration: 60 }, stream: { max_duration: 30 }, images: { max_duration: 5 } };
    expect(longest(plan(limits), 1000)).toEqual({ seconds: 60, kind: 'file', endMs: 61_000 });
    const both = plan(limits, [file(), stream]);
    expect(longest(both, 1000)).toEqual({ seconds: 30, kind: 'stream', endMs: 31_000 });
    expect(longest(plan({}), 1000)).toBeUndefined();
    const spans = [{ outputId: 'file' }, { outputId: 'EO_1', fromMs: 41_000 }];
    expect(longest({ ...both, spans }, 1000)).toMatchObject({ kind: 'file', endMs: 61_000 });
    const removed = [{ outputId: 'file', toMs: 5000 }, spans[1]!];
    expect(longest({ ...both, spans: removed }, 1000)).toMatchObject({ kind: 'stream', endMs: 71_000 });
  });

  it.each([
    [{ file: { max_duration: 0 } }, /options\.limits\.file\.max_duration/],
    [{ file: { max_size: 100 } }, /options\.limits\.file\.max_size/],
    [{ stream: { max_size: 1e6 } }, /options\.limits\.stream\.max_size/],
    [{ parts: { max_duration: 5 } }, /options\.limits\.parts/],
  ])('option %j is refused by its name', (limits, message) => {
    expect(() => parseOptions({ limits })).toThrow(RequestError);
    expect(() => parseOptions({ limits })).toThrow(message);
  });

  it('is understood as it is stored', () => {
    const limits = { file: { max_duration: 1.5, max_size: 20_000 } };
    expect(parseOptions(JSON.parse(JSON.stringify({ limits }))).limits).toEqual(limits);
    expect(limitsSchema.parse({})).toEqual({});
  });
});

describe('the log of a file with a largest size', () => {
  it('ends before the file would be larger', () => {
    const cut = withinSize(log(10, 100_000), plan({ file: { max_size: 450_000 } }));
    expect(cut.chunks).toHaveLength(4);
    expect([cut.endNs, cut.videoFrames, cut.audioFrames]).toEqual([8e9, 240, 344]);
  });

  it('is whole where the file fits, and keeps one chunk in any case', () => {
    const whole = log(4, 100_000);
    expect(withinSize(whole, plan({ file: { max_size: 400_000 } }))).toBe(whole);
    expect(withinSize(whole, plan({}))).toBe(whole);
    expect(withinSize(whole, plan({ file: { max_size: 10_000 } })).chunks).toHaveLength(1);
  });

  it('counts tables where the log has none, and the rate of sound that is encoded again', () => {
    const tables = log(3, 100_000, 'mkv');
    expect(withinSize(tables, plan({ file: { max_size: 300_000 } })).chunks).toHaveLength(2);
    expect(withinSize(tables, plan({ file: { max_size: 310_000 } })).chunks).toHaveLength(3);
    // Two seconds of 128 kbit/s are 32 000 bytes.
    const again = plan({ file: { max_size: 100_000 } }, [file('mp3'), stream]);
    expect(withinSize(log(5, 90_000), again).chunks).toHaveLength(2);
  });
});

describe('a watch', () => {
  beforeEach(() => void vi.useFakeTimers({ now: EPOCH_MS }));
  afterEach(() => vi.useRealTimers());

  function watch(
    limits: Limits,
    earlier: SegmentLog['chunks'] = [],
  ): { reached: string[]; watch: LimitWatch } {
    const reached: string[] = [];
    const made = new LimitWatch({
      ...{ plan: plan(limits), earlier, epochMs: EPOCH_MS },
      onReached: (reason) => reached.push(reason),
    });
    made.begin(EPOCH_MS);
    return { reached, watch: made };
  }

  it("tells when the time is up, counted from the egress's start, once", () => {
    vi.setSystemTime(EPOCH_MS + 40_000);
    const { reached } = watch({ file: { max_duration: 60 } });
    vi.advanceTimersByTime(19_900);
    expect(reached).toEqual([]);
    vi.advanceTimersByTime(100_000);
    expect(reached).toEqual(['the file has lasted 60 s']);
  });

  it('waits for longer than a timer can', () => {
    const { reached } = watch({ file: { max_duration: 30 * 86_400 } });
    vi.advanceTimersByTime(30 * 86_400_000 - 1000);
    expect(reached).toEqual([]);
    vi.advanceTimersByTime(2000);
    expect(reached).toHaveLength(1);
  });

  it('tells when the bytes are there, those of earlier attempts included', () => {
    const { chunks } = log(5, 100_000);
    const { reached, watch: watching } = watch({ file: { max_size: 450_000 } }, chunks.slice(0, 3));
    watching.chunk(chunks[3]!);
    expect(reached).toEqual([]);
    watching.chunk(chunks[4]!);
    watching.chunk(chunks[4]!);
    expect(reached).toEqual(['the file has its 450000 bytes']);
  });

  it('counts for a file that is added what comes from there on, and for one that is removed nothing', () => {
    const limits = { file: { max_duration: 60, max_size: 250_000 } };
    const { chunks } = log(8, 100_000);
    const onlyStream = plan(limits, [stream]);
    const added = { outputId: 'EO_1', fromMs: EPOCH_MS + 6100 };
    const both = { ...plan(limits, [stream, file()]), spans: [{ outputId: 'stream' }, added] };
    const reached: string[] = [];
    const make = (of: EgressPlan, earlier: SegmentLog['chunks'] = []) =>
      new LimitWatch({ plan: of, earlier, epochMs: EPOCH_MS, onReached: (reason) => reached.push(reason) });
    const watching = make(onlyStream);
    watching.begin(EPOCH_MS);
    // The chunk that begins with the file is there before the file is known.
    for (const chunk of chunks.slice(0, 4)) watching.chunk(chunk);
    watching.usePlan(both);
    watching.chunk(chunks[4]!);
    const later = make(both, chunks.slice(0, 5));
    expect(reached).toEqual([]);
    watching.chunk(chunks[5]!);
    expect(reached.splice(0)).toEqual(['the file has its 250000 bytes']);
    vi.setSystemTime(EPOCH_MS + 7_200_000);
    const hours = { outputId: 'EO_1', fromMs: EPOCH_MS + 7_150_000 };
    later.usePlan({ ...both, spans: [{ outputId: 'stream' }, hours] });
    later.begin(EPOCH_MS);
    vi.advanceTimersByTime(9900);
    expect(reached).toEqual([]);
    vi.advanceTimersByTime(200);
    expect(reached.splice(0)).toEqual(['the file has lasted 60 s']);
    const ended = make(both);
    ended.begin(EPOCH_MS + 7_200_000);
    ended.usePlan({ ...both, spans: [{ outputId: 'stream' }, { ...hours, toMs: EPOCH_MS + 7_199_000 }] });
    for (const chunk of chunks) ended.chunk(chunk);
    vi.advanceTimersByTime(100_000);
    expect(reached).toEqual([]);
  });

  it('tells nothing when it is closed', () => {
    const { reached, watch: watching } = watch({ file: { max_duration: 1, max_size: 10_000 } });
    watching.close();
    watching.chunk(log(1, 100_000).chunks[0]!);
    vi.advanceTimersByTime(5000);
    expect(reached).toEqual([]);
  });
});
