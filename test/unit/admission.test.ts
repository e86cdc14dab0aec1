import {
  IngressVideoEncodingPreset,
  IngressVideoOptions,
  RoomCompositeEgressRequest,
} from '@livekit/protocol';
import {
  EncodedFileOutput,
  EncodingOptions,
  StreamOutput,
  TrackCompositeEgressRequest,
} from '@livekit/protocol';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { coresOf, egressCost, ingressCost } from '../../src/admission/cost.ts';
import { DiskWatch } from '../../src/admission/disk-watch.ts';
import { copiesAtEnd, expectedBytes, mustStop, roomForNew, shownBytes } from '../../src/admission/disk.ts';
import { Ledger } from '../../src/admission/ledger.ts';
import { CpuMeter } from '../../src/admission/meter.ts';
import { cpuSeconds, cpuSecondsOf } from '../../src/admission/process-cpu.ts';
import { diskRefusal } from '../../src/admission/roster.ts';
import { notTakenText, waitingText, withoutWaiting } from '../../src/admission/waiting-text.ts';
import { planEgress } from '../../src/egress/plan/plan.ts';

const MiB = 2 ** 20;

function composite(width: number, height: number, framerate: number, urls: string[] = []) {
  return planEgress(
    new RoomCompositeEgressRequest({
      roomName: 'r',
      options: {
        case: 'advanced',
        value: new EncodingOptions({ width, height, framerate, videoBitrate: 3000, audioBitrate: 128 }),
      },
      fileOutputs: urls.length > 0 ? [] : [new EncodedFileOutput({ filepath: 'f.mp4' })],
      streamOutputs: urls.length > 0 ? [new StreamOutput({ urls })] : [],
    }),
    { egressId: 'EG_1' },
  );
}
const copied = planEgress(
  new TrackCompositeEgressRequest({
    ...{ roomName: 'r', videoTrackId: 'TR_V', audioTrackId: 'TR_A' },
    fileOutputs: [new EncodedFileOutput({ filepath: 'f.mp4' })],
  }),
  { egressId: 'EG_2' },
);

describe('the cost of a job', () => {
  it.each([
    ['a 720p30 composite', egressCost(composite(1280, 720, 30)), 0.4],
    ['a 1080p60 composite', egressCost(composite(1920, 1080, 60)), 1.8],
    ['a tiny composite, which still decodes', egressCost(composite(160, 90, 10)), 0.08],
    ['streams', egressCost(composite(1280, 720, 30, ['rtmp://a/live/x', 'rtmp://b/live/y'])), 0.46],
    ['what may be copied', egressCost(copied), 0.07],
    ['what turned out to be copied', egressCost(copied, 'passthrough'), 0.07],
    ['what turned out to be encoded', egressCost(copied, 'composite'), 0.4],
    ['an ingress nobody knows yet', ingressCost({}), 0.07],
    ['one that is encoded because the request says so', ingressCost({ enableTranscoding: true }), 0.4],
    ['one that turned out to be encoded', ingressCost({}, 'encode'), 0.4],
    ['one that turned out to be copied', ingressCost({}, 'copy'), 0.07],
    [
      'one of another preset',
      ingressCost({
        video: new IngressVideoOptions({
          encodingOptions: { case: 'preset', value: IngressVideoEncodingPreset.H264_1080P_30FPS_3_LAYERS },
        }),
      }),
      0.9,
    ],
  ])('of %s', (_, cost, cores) => {
    expect(coresOf(cost, {})).toBeCloseTo(cores, 2);
  });

  it('follows what was measured, within bounds', () => {
    const cost = egressCost(composite(1280, 720, 30));
    expect(coresOf(cost, { 'egress-encode': 1.5 })).toBeCloseTo(0.6);
    expect(coresOf(cost, { 'egress-encode': 100 })).toBeCloseTo(1.2);
    expect(coresOf(cost, { 'egress-encode': 0.001 })).toBeCloseTo(0.12);
    expect(coresOf(cost, { 'ingress-encode': 3 })).toBeCloseTo(0.4);
  });
});

describe('the ledger of a worker', () => {
  it('takes what fits, to the last core', () => {
    const ledger = new Ledger(0.9);
    expect(ledger.reserve('a', 0.3)).toBe(true);
    expect(ledger.reserve('b', 0.6)).toBe(true);
    expect(ledger.reserve('c', 0.01)).toBe(false);
    ledger.release('a');
    expect(ledger.reserve('c', 0.3)).toBe(true);
    expect(ledger.committed).toBeCloseTo(0.9);
  });

  it('takes what is more than the worker only when nothing runs', () => {
    const ledger = new Ledger(1);
    ledger.reserve('small', 0.1);
    expect(ledger.reserve('huge', 5)).toBe(false);
    ledger.release('small');
    expect(ledger.reserve('huge', 5)).toBe(true);
    expect(ledger.fits(0)).toBe(false);
  });

  it('counts a job at what it uses when that is more, and at what it was taken at when it is less', () => {
    const ledger = new Ledger(1);
    ledger.reserve('a', 0.4);
    ledger.measured('a', 0.7);
    expect(ledger.committed).toBeCloseTo(0.7);
    ledger.measured('a', 0.1);
    expect(ledger.committed).toBeCloseTo(0.4);
    ledger.revise('a', 0.05);
    expect(ledger.committed).toBeCloseTo(0.1);
    ledger.measured('gone', 9);
    expect(ledger.committed).toBeCloseTo(0.1);
  });
});

describe('processor time', () => {
  it('is read behind a name with brackets and blanks in it', () => {
    expect(cpuSecondsOf('7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 20 5 20 0 1')).toBeCloseTo(2.25);
  });

  it('is that of a real process, and none of one that is gone', async () => {
    const before = (await cpuSeconds(process.pid)) ?? NaN;
    const start = process.cpuUsage();
    for (let used = 0; used < 60_000;) {
      const { user, system } = process.cpuUsage(start);
      used = user + system;
    }
    expect((await cpuSeconds(process.pid))! - before).toBeGreaterThan(0.02);
    expect(await cpuSeconds(2 ** 22 + 1)).toBeUndefined();
  });

  it('of a job is smoothed over all of its processes, after their start', async () => {
    let now = 0;
    const used = new Map([
      [1, 0],
      [2, 0],
    ]);
    const measured: number[] = [];
    const samples: number[] = [];
    const meter = new CpuMeter({
      now: () => now,
      read: (pid) => Promise.resolve(used.get(pid)),
      onMeasured: (_, cores) => measured.push(cores),
      onSample: (_, cores) => samples.push(cores),
    });
    meter.attach('job', 1);
    meter.attach('job', 2);
    const second = async (first: number, other: number) => {
      now += 1;
      for (const [pid, cores] of [
        [1, first],
        [2, other],
      ] as const) {
        if (used.has(pid)) used.set(pid, used.get(pid)! + cores);
      }
      await meter.look();
    };
    for (let s = 0; s < 5; s++) await second(3, 0);
    expect(measured).toEqual([]);
    for (let s = 0; s < 20; s++) await second(0.3, 0.2);
    expect(measured.at(-1)).toBeCloseTo(0.5);
    expect(samples.length).toBeGreaterThan(0);
    await second(1.3, 0.2);
    expect(measured.at(-1)).toBeGreaterThan(0.55);
    expect(measured.at(-1)).toBeLessThan(0.65);
    used.delete(2);
    await second(0.3, 0);
    expect(measured.at(-1)).toBeLessThan(0.5);
    meter.detach('job');
    measured.length = 0;
    await second(1, 1);
    expect(measured).toEqual([]);
  });
});

describe('disk', () => {
  it('is to hold ten minutes of a new recording, and its files', () => {
    const plan = composite(1280, 720, 30);
    expect(copiesAtEnd(plan, false)).toBe(1);
    expect(copiesAtEnd(plan, true)).toBe(2);
    // 3128 kbit/s.
    expect(expectedBytes(plan, 0)).toBe(234_600_000);
    expect(expectedBytes(plan, 2)).toBe(3 * 234_600_000);
    expect(expectedBytes(copied, 0)).toBeGreaterThan(200 * MiB);
    const stream = composite(1280, 720, 30, ['rtmp://a/live/x']);
    expect(copiesAtEnd(stream, true)).toBe(0);
    // Two minutes: no more of its log stays on disk.
    expect(expectedBytes(stream, 0)).toBe(234_600_000 / 5);
  });

  it('is kept for the files of what runs', () => {
    const state = { free: 1000 * MiB, finishing: 700 * MiB };
    expect(roomForNew(state, 200 * MiB)).toBe(100 * MiB);
    expect(mustStop(state, 300 * MiB)).toBe(false);
    expect(mustStop(state, 300 * MiB + 1)).toBe(true);
  });

  it.each([
    [0, '0 bytes'],
    [1023, '1023 bytes'],
    [1536, '1.5 KiB'],
    [256 * MiB, '256 MiB'],
    [5000 * 2 ** 40, '5000 TiB'],
  ])('of %d bytes is shown as %s', (bytes, shown) => {
    expect(shownBytes(bytes)).toBe(shown);
  });

  it('refuses a recording only when no living worker has room for it', () => {
    const worker = (freeDisk: number, minFree: number) => ({
      ...{ id: 'W', capacity: 1, committed: 0, jobs: 0, freeDisk, roomForNew: freeDisk - minFree },
    });
    const [full, roomy] = [worker(700 * MiB, 1024 * MiB), worker(3000 * MiB, 1024 * MiB)];
    expect(diskRefusal([], 1)).toBeUndefined();
    expect(diskRefusal([full, roomy], 500 * MiB)).toBeUndefined();
    expect(diskRefusal([full, full], 100 * MiB)).toBe(
      'no worker has the disk for a new recording: 700 MiB are free on the emptiest of 2 workers, ' +
        '424 MiB more are needed (worker.min_free_disk); free some space or end recordings',
    );
  });

  describe('of folders', () => {
    let folder: string;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'sluice-disk-'));
    });
    afterEach(async () => {
      await rm(folder, { recursive: true, force: true });
    });

    it('is that of the fullest, also of one that is not there yet, less what files need', async () => {
      const real = new DiskWatch([join(folder, 'not/there/yet')]);
      const { free, finishing } = await real.look();
      expect(free).toBeGreaterThan(0);
      expect(Number.isFinite(free)).toBe(true);
      expect(finishing).toBe(0);

      const watch = new DiskWatch(['/a', '/b'], (path) => Promise.resolve(path === '/a' ? 900 : 500));
      await mkdir(join(folder, 'attempt-1'));
      await writeFile(join(folder, 'attempt-1/chunk.ts'), Buffer.alloc(300));
      await writeFile(join(folder, 'index'), Buffer.alloc(10));
      watch.add('job', { folder, copies: 2 });
      expect(await watch.look()).toEqual({ free: 500, finishing: 620 });
      watch.remove('job');
      expect(await watch.look()).toEqual({ free: 500, finishing: 0 });
    });
  });
});

describe('what is said of a wait', () => {
  it('is taken back when it is over, and nothing else is', () => {
    expect(withoutWaiting(waitingText(12))).toBe('');
    expect(withoutWaiting('End reason: Source closed')).toBe('End reason: Source closed');
  });
  it.each([
    [0, 'no worker is connected'],
    [1, 'the one connected worker has no room for it'],
    [3, 'none of 3 connected workers has room for it'],
  ])('with %d workers says why', (workers, why) => {
    expect(notTakenText(60, workers)).toContain(why);
  });
});
