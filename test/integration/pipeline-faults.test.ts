/** What publishers and networks do wrong, recorded twice at once: copied, each alone, and composed, all together. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';

import type { ColorName, ContentReport, TileReport } from '../../src/demo/content/analyse.ts';
import type { ClockFaults } from '../support/broken-clock.ts';
import type { NetworkFaults } from '../support/network.ts';
import { NAMES, recordTwice } from '../support/recorded-twice.ts';
import { makeRtpClip, TestRouter } from '../support/rtp-source.ts';

const SECONDS = 7.5;

let folder: string;
const clips = new Map<ColorName, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-clips-'));
  await Promise.all(
    NAMES.map(async (color) => clips.set(color, await makeRtpClip(folder, color, { seconds: 13, color }))),
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A router, and what is to be closed with it after the test. */
async function startRouter({
  onTestFinished,
}: Pick<TestContext, 'onTestFinished'>): Promise<{ router: TestRouter; open: { close(): unknown }[] }> {
  const router = await TestRouter.start();
  const open: { close(): unknown }[] = [router];
  onTestFinished(async () => {
    for (const each of open.reverse()) await each.close();
  });
  return { router, open };
}

/** What a recording may lose. */
interface Bounds {
  /** Share of the frames that must be there. */
  share: number;
  /** Longest time without a new frame, ms. */
  gapMs: number;
  /** Which of the seconds' A/V offsets stays within 80 ms. */
  offset: 'p50' | 'p95';
}
const REPAIRED: Bounds = { share: 0.97, gapMs: 700, offset: 'p95' };
const STEADY: Bounds = { share: 0.97, gapMs: 700, offset: 'p50' };
/** A jump of less than a second cannot be told from a pause: it stays in the file until it is made up for. */
const JUMPY: Bounds = { share: 0.8, gapMs: 1000, offset: 'p50' };

/** Of a picture that was shown and a sound that was heard throughout. */
function expectShown(tile: TileReport, bounds: Bounds): void {
  const shown = JSON.stringify({ ...tile, frames: tile.frames.length });
  expect(tile.share, shown).toBeGreaterThanOrEqual(bounds.share);
  expect(tile.inOrder, shown).toBe(true);
  expect(tile.longestGapMs, shown).toBeLessThan(bounds.gapMs);
  expect(Math.abs(tile.avOffset[bounds.offset]), shown).toBeLessThanOrEqual(80);
  expect(tile.beepShare, shown).toBe(1);
}

function expectWhole(report: ContentReport, seconds: number, { gapMs }: Bounds): void {
  expect(report.decodeErrors).toEqual([]);
  expect(report.video?.monotonic).toBe(true);
  expect(report.audio?.monotonic).toBe(true);
  expect(report.audio?.gaps).toEqual([]);
  expect(
    report.video?.maxGapMs,
    `${report.video?.codec} at ${report.video?.maxGapAt} of ${report.duration} s`,
  ).toBeLessThan(gapMs);
  expect(Math.abs(report.duration - seconds)).toBeLessThan(1);
}

// Two at once, as one of them records one publisher alone.
describe.concurrent('what a network and an SFU make of it', () => {
  test('loss, bursts and reordering between SFU and worker are repaired', async (context) => {
    const { router, open } = await startRouter(context);
    const networks: NetworkFaults[] = [
      { loss: 0.02, delayMs: 15 },
      { loss: 0.02, bursts: { loss: 0.1, everyMs: 3000, forMs: 1000 }, delayMs: 15 },
      { reorder: { share: 0.05, byMs: 25 }, delayMs: 5 },
    ];
    const publishers = await Promise.all(
      networks.map(async (network, index) => {
        const name = NAMES[index]!;
        return { name, network, published: await router.publish([clips.get(name)!], { held: true }) };
      }),
    );
    const { each, composed, composedFor, copiedFor, paths } = await recordTwice(
      SECONDS,
      router,
      publishers,
      open,
    );
    // Each publisher has four paths: picture and sound, copied and composed.
    const [lossy, bursty, disorderly] = [0, 4, 8].map((from) =>
      paths.slice(from, from + 4).reduce(
        (sum, { network: { counts } }) => ({
          lost: sum.lost + counts.lost / counts.seen / 4,
          reordered: sum.reordered + counts.reordered / counts.seen / 4,
        }),
        { lost: 0, reordered: 0 },
      ),
    );
    expect(lossy!.lost).toBeGreaterThan(0.012);
    expect(bursty!.lost).toBeGreaterThan(0.03);
    expect(disorderly!.reordered).toBeGreaterThan(0.03);
    expectWhole(composed, composedFor, REPAIRED);
    for (const { copied, composed: tile } of each) {
      expectWhole(copied, copiedFor, REPAIRED);
      expectShown(copied.tiles[0]!, REPAIRED);
      expectShown(tile, REPAIRED);
    }
  });

  test('a publisher that changes its SSRC is refused by the SFU, and the recordings stay whole without it', async (context) => {
    const { router, open } = await startRouter(context);
    const clock = { ssrc: { atMs: 2500, ssrc: 4711 } };
    const published = await router.publish([clips.get('red')!], { held: true, clock });
    const { each, composed, composedFor, copiedFor } = await recordTwice(
      6,
      router,
      [{ name: 'red', published }],
      open,
    );
    const { copied } = each[0]!;
    for (const [report, seconds] of [
      [copied, copiedFor],
      [composed, composedFor],
    ] as const) {
      expect(report.decodeErrors).toEqual([]);
      expect(report.video?.monotonic).toBe(true);
      expect(report.audio?.gaps).toEqual([]);
      // Silence goes on to the end.
      expect(Math.abs(report.duration - seconds)).toBeLessThan(1);
    }
    // What came before is there, and a composite goes on in black.
    expect(copied.video!.lastTime).toBeGreaterThan(2);
    expect(copied.video!.lastTime).toBeLessThan(4.5);
    expect(composed.video!.maxGapMs).toBeLessThan(100);
    expect(composed.video!.black.at(-1)!.to).toBeGreaterThan(5);
  });
});

describe('publishers with a broken clock', () => {
  const CASES: {
    name: string;
    bounds: Bounds;
    seconds: number;
    faults: Record<ColorName, ClockFaults | { audio: ClockFaults; video?: ClockFaults }>;
  }[] = [
    {
      name: 'that is 1 % off, of the timestamps or of the media itself, and absurd Sender Reports',
      bounds: STEADY,
      seconds: SECONDS,
      faults: {
        red: { rate: 1.01 },
        green: { rate: 0.99, ntp: () => 0n },
        blue: {
          audio: { pace: 1.01, ntp: (_, index) => [0n, 2n ** 64n - 1n, 1n << 40n][index % 3]! },
          video: { pace: 1.01 },
        },
        yellow: { pace: 0.99, ntp: (right, index) => right + (index % 2 ? 1n : -1n) * (3n << 32n) },
      },
    },
    {
      name: 'that jumps, by an hour and by less than a second, there and back,',
      bounds: JUMPY,
      seconds: SECONDS + 2,
      faults: {
        red: { jumps: [{ atMs: 4000, seconds: 3600 }] },
        green: { jumps: [{ atMs: 4000, seconds: -3600 }] },
        blue: {
          jumps: [
            { atMs: 3500, seconds: 0.8 },
            { atMs: 5500, seconds: -0.8 },
          ],
        },
        yellow: { audio: { jumps: [{ atMs: 4000, seconds: 3600 }] } },
      },
    },
  ];
  test.for(CASES)('$name are recorded whole', async ({ faults, bounds, seconds }, context) => {
    const { router, open } = await startRouter(context);
    const publishers = await Promise.all(
      NAMES.map(async (name) => ({
        name,
        published: await router.publish([clips.get(name)!], { held: true, clock: faults[name] }),
      })),
    );
    const { each, composed, composedFor, copiedFor } = await recordTwice(seconds, router, publishers, open);
    expectWhole(composed, composedFor, bounds);
    for (const { copied, composed: tile } of each) {
      expectWhole(copied, copiedFor, bounds);
      expectShown(copied.tiles[0]!, bounds);
      expectShown(tile, bounds);
    }
  });
});
