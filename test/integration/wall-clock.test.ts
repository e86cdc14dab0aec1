/**
 * Wall-clock-true segments: an hour into an egress, PROGRAM-DATE-TIME is when a picture was captured. Three things could
 * drift apart in an hour: the pipeline's clock, which here begins an hour late; a camera's clock, which here goes as far
 * off in ten seconds as an ordinary one (42 millionths) in an hour; and lengths that are added up, here those of an hour
 * of segments.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { HlsOutput } from '../../src/egress/outputs/hls/index.ts';
import { renderPlaylist, targetDurationFor } from '../../src/egress/outputs/hls/playlist.ts';
import { Segmenter } from '../../src/egress/outputs/hls/segmenter.ts';
import type { Segment } from '../../src/egress/outputs/hls/segmenter.ts';
import { EPOCH_MS, MemoryStorage, chunkLine, silent } from '../support/log-fixtures.ts';
import { random } from '../support/mutate.ts';
import { AAC, sleep, TestPipeline, X264 } from '../support/pipeline.ts';
import { makeRtpClip, TestRouter } from '../support/rtp-source.ts';

const HOUR_MS = 3_600_000;
const SECONDS = 10;
/** 10 s at this pace are as far off as an hour at 42 millionths: 150 ms. */
const SLOW_CAMERA = { pace: 0.985 };
/** What it is off by in a second, where nothing follows it, ms. */
const DRIFT_MS = 15;
const WITHIN_MS = 50;
const PLACE = { trackId: 'video', x: 0, y: 0, width: 320, height: 180, z: 1 };

/** A picture: where it is in the file, s, and how much later than its capture PROGRAM-DATE-TIME says. */
interface Late {
  time: number;
  byMs: number;
}

function median(pictures: readonly Late[], from: number, to: number): number {
  const within = pictures.filter(({ time }) => time >= from && time < to).map(({ byMs }) => byMs);
  return within.toSorted((a, b) => a - b)[Math.floor(within.length / 2)] ?? NaN;
}

/** EXTINF and PROGRAM-DATE-TIME of each segment, ms. */
function segmentsOf(playlist: string): { dateMs: number; lengthMs: number }[] {
  const found = playlist.matchAll(/#EXT-X-PROGRAM-DATE-TIME:(\S+)\n#EXTINF:([\d.]+)/g);
  return [...found].map(([, date = '', length]) => ({
    ...{ dateMs: Date.parse(date), lengthMs: Number(length) * 1000 },
  }));
}

describe('the pipeline, an hour into the egress', () => {
  let folder: string;
  let router: TestRouter;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-wall-clock-'));
  });
  afterAll(async () => {
    await router.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function record(
    name: string,
    init: Parameters<typeof TestPipeline.start>[0],
    published: Awaited<ReturnType<TestRouter['publish']>>,
  ): Promise<Late[]> {
    const epochMs = Date.now() - HOUR_MS;
    const writer = await SegmentLogWriter.open({
      ...{
        dir: join(folder, name),
        egressId: 'EG_1',
        attempt: 1,
        epochMs,
        container: 'mpegts',
        logger: silent,
      },
    });
    const run = await TestPipeline.start(init, { dir: writer.folder, epochMs, tap: false });
    const storage = new MemoryStorage();
    const hls = new HlsOutput({
      ...{ storage, segmentPrefix: 'a', playlistKey: 'a.m3u8', suffix: 'index', logger: silent },
      ...{ segmentDuration: 2, earlier: [] },
    });
    try {
      if (init.program === 'composite') await run.host.send({ cmd: 'layout', tiles: [PLACE] });
      const { video } = published;
      if (!video) throw new Error('no video');
      await router.subscribe(run.host, { trackId: 'video', producer: video });
      await sleep(SECONDS * 1000);
      expect(await run.stop()).toBe('exited with code 0');
      for (const { file, startNs, durationNs } of run.of('chunk')) {
        const chunk = await writer.addChunk({ file, startNs, durationNs });
        if (chunk) hls.push(chunk);
      }
      await hls.finish();
      const [first] = segmentsOf(storage.text('a.m3u8'));
      const report = await analyse(await run.joined(), {
        tiles: [{ name: 'red', color: 'red', region: { x: 0, y: 0, width: 320, height: 180 } }],
      });
      const seen = new Set<number>();
      return report.tiles[0]!.frames.flatMap(({ time, counter }) => {
        const sentAtMs = counter === null ? undefined : published.picturesAtMs[counter];
        if (counter === null || sentAtMs === undefined || seen.has(counter)) return [];
        seen.add(counter);
        return [{ time, byMs: (first?.dateMs ?? NaN) + time * 1000 - sentAtMs }];
      });
    } finally {
      await run.host.kill();
      await hls.close();
      await writer.close();
    }
  }

  test(`tells when a picture was captured within ${WITHIN_MS} ms, and follows a camera's clock`, async () => {
    const size = { width: 320, height: 180 };
    const clip = await makeRtpClip(folder, 'red', { seconds: SECONDS + 4, color: 'red', ...size });
    router = await TestRouter.start();
    const right = await router.publish([clip], { only: 'video' });
    const slow = await router.publish([clip], { only: 'video', clock: SLOW_CAMERA });
    const copy = { program: 'passthrough', video: { mimeType: 'video/H264' }, audio: null } as const;
    const compose = { program: 'composite', video: { ...X264, ...size, bitrate: 600 }, audio: AAC } as const;
    const [copied, composed, drifting] = await Promise.all([
      record('copied', copy, right),
      record('composed', compose, right),
      record('drifting', copy, slow),
    ]);
    for (const pictures of [copied, composed]) {
      expect(pictures.length).toBeGreaterThan(200);
      const sorted = pictures.map(({ byMs }) => Math.abs(byMs)).toSorted((a, b) => a - b);
      // But for pictures a busy machine was late with.
      expect(sorted[Math.floor(sorted.length * 0.95)]).toBeLessThan(WITHIN_MS);
    }
    // The jitterbuffer follows a drift with a lag that grows with it: 80 ms at 15 ms a second, which is a quarter of a
    // millisecond at an ordinary clock's. What is off must settle, and not go on growing.
    const change = median(drifting, SECONDS - 3, SECONDS) - median(drifting, SECONDS - 6, SECONDS - 3);
    expect(Math.abs(change)).toBeLessThan((3 * DRIFT_MS) / 2);
  });
});

describe('an hour of segments', () => {
  test('begin when their first picture does, however long they say they are', () => {
    const next = random(7);
    const segmenter = new Segmenter(4);
    const segments: Segment[] = [];
    let at = 0;
    for (let number = 0; at < HOUR_MS / 1000; number++) {
      // Keyframes near two seconds; every chunk ends a little before the next one begins, as a muxer tells it.
      const length = 1.9 + next() * 0.2;
      const chunk = chunkLine(at, length - next() * 0.012, { number });
      segments.push(
        ...segmenter.push({
          ...{ chunk, from: 0, to: chunk.bytes, startNs: chunk.startNs, durationNs: chunk.durationNs },
          ...{ parametersHash: 'a', tables: undefined },
        }),
      );
      at += length;
    }
    const listed = segments.map(({ index, durationNs, wallMs, discontinuity }) => ({
      ...{ uri: `${index}.ts`, index, durationNs, wallMs, discontinuity },
    }));
    const playlist = renderPlaylist(listed, {
      type: 'event',
      ended: true,
      targetDuration: targetDurationFor(4),
    });
    const dates = segmentsOf(playlist);
    expect(dates.length).toBeGreaterThan(850);
    dates.forEach(({ dateMs }, i) => {
      expect(Math.abs(dateMs - (EPOCH_MS + segments[i]!.startNs / 1e6))).toBeLessThanOrEqual(1);
    });
    // Added up, the lengths would be off by seconds: that is what the dates must not be made of.
    const summed = dates.slice(0, -1).reduce((sum, { lengthMs }) => sum + lengthMs, dates[0]!.dateMs);
    expect(Math.abs(summed - dates.at(-1)!.dateMs)).toBeGreaterThan(1000);
  });
});
