/**
 * One recording of a room, in one layout after the other while it runs: who speaks is seen large, a screen share even
 * more so, names are written when they are asked for, and another worker goes on as the one before it. What is where is
 * looked at phase by phase.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { analyse, fitPicture } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileSpec } from '../../src/demo/content/analyse.ts';
import { streamTool } from '../../src/demo/content/tool.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { arrange } from '../../src/egress/composition/layout.ts';
import type { Arrangement } from '../../src/egress/composition/layout.ts';
import { publish, trackIds } from '../support/callers.ts';
import { startRedis } from '../support/redis.ts';
import type { TestRedis } from '../support/redis.ts';
import { Sluice } from '../support/sluice.ts';
import { startWithOptions } from '../support/sluice-egress.ts';
import { pipelinePid } from '../support/takeover.ts';

const ROOM = 'layouts';
const COLORS = { anna: 'red', ben: 'green', screen: 'blue' } as const;
type Name = keyof typeof COLORS;
const CANVAS = { width: 480, height: 270 };
const SIZE = { width: 320, height: 180 };

interface Phase {
  arrangement: Arrangement;
  /** In the order of the layout's places. */
  seen: Name[];
  background: 'black' | 'white';
  /** Seconds into the recording's wall clock: the layout is as it should be from here to there. */
  from: number;
  to: number;
}

/** The picture of a place, without a margin: names lie in the lower left corner. */
function region(phase: Phase, index: number) {
  const tile = arrange(phase.arrangement, phase.seen, CANVAS)[index];
  if (!tile) throw new Error(`there is no place ${index}`);
  return fitPicture(tile, SIZE.width, SIZE.height);
}

describe('layouts of a running recording', () => {
  let redis: TestRedis;
  let sluice: Sluice;
  let info: EgressInfo;
  let report: ContentReport;
  const publishers: TestPublisher[] = [];
  const phases: Phase[] = [];
  const specs: TileSpec[] = [];

  async function join(name: Name, screen = false): Promise<void> {
    publishers.push(
      await publish(sluice, ROOM, name, { color: COLORS[name], ...SIZE, screen, audio: !screen, fps: 15 }),
    );
  }

  async function mute(name: Name, muted: boolean): Promise<void> {
    const { audio } = await trackIds(sluice, ROOM, name);
    if (audio) await sluice.rooms.mutePublishedTrack(ROOM, name, audio, muted);
  }

  /** Waits until the room is as it should be, and holds it for a while. */
  async function hold(
    arrangement: Arrangement,
    seen: Name[],
    { settle = 1.2, background = 'black' }: { settle?: number; background?: Phase['background'] } = {},
  ): Promise<void> {
    const from = Date.now() / 1000 + settle;
    await sleep((settle + 1.2) * 1000);
    phases.push({ arrangement, seen, background, from, to: Date.now() / 1000 - 0.3 });
  }

  beforeAll(async () => {
    redis = await startRedis();
    sluice = await Sluice.start({ mode: 'split', redisUrl: redis.url });
    const worker = await sluice.addWorker();
    await join('anna');
    await join('ben');
    await mute('ben', true);
    const egressId = await startWithOptions(sluice, ROOM, {
      room_composite: {
        room_name: ROOM,
        layout: 'speaker',
        file: { filepath: 'layouts/room' },
        advanced: { ...CANVAS, framerate: 30, video_bitrate: 1000 },
      },
      options: { show_names: true },
    });
    await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    await hold('speaker', ['anna', 'ben'], { settle: 1.5 });
    await mute('anna', true);
    await mute('ben', false);
    // Until nobody counts as speaking who is silent, and who speaks does not merely cough; the layer comes after it.
    await hold('speaker', ['ben', 'anna'], { settle: 3.5 });
    await sluice.egress.updateLayout(egressId, 'grid-light');
    await hold('grid', ['ben', 'anna'], { background: 'white' });
    await sluice.addWorker();
    worker.child.kill('SIGKILL');
    await pipelinePid(sluice, egressId, { attempt: 2 });
    // It seats everybody anew, in the order they came.
    await join('screen', true);
    await hold('speaker', ['screen', 'ben', 'anna'], { background: 'white' });
    await sluice.egress.updateLayout(egressId, 'single-speaker');
    await hold('single-speaker', ['screen']);
    await sluice.egress.stopEgress(egressId);
    info = await sluice.waitForEgress(egressId, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE);
    const file = info.fileResults[0]!;
    const zero = Number(file.startedAt) / 1e9;
    for (const phase of phases) {
      phase.from -= zero;
      phase.to -= zero;
      phase.seen.forEach((name, index) => {
        specs.push({
          name,
          color: COLORS[name],
          fps: 15,
          region: region(phase, index),
          from: phase.from,
          to: phase.to,
        });
      });
    }
    report = await analyse(file.location, { tiles: specs });
  }, 120_000);

  afterAll(async () => {
    await Promise.all(publishers.map((publisher) => publisher.stop()));
    await sluice?.stop();
    await redis?.stop();
  });

  /** A pixel of a phase, red, green and blue. */
  async function pixel({ from, to }: Phase, x: number, y: number): Promise<number[]> {
    const at = ((from + to) / 2).toFixed(2);
    const bytes: number[] = [];
    const args = [
      ...['-v', 'error', '-ss', at, '-i', info.fileResults[0]!.location, '-frames:v', '1'],
      ...['-vf', `crop=2:2:${x}:${y},scale=1:1`, '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'],
    ];
    await streamTool('ffmpeg', args, { 1: (chunk) => bytes.push(...chunk) });
    return bytes;
  }

  it('is one file, of two workers', () => {
    expect(info.status, `${info.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
    expect(report.decodeErrors).toEqual([]);
    expect(info.details).toContain('another worker took over');
    expect(report.video).toMatchObject({ monotonic: true, ...CANVAS });
  });

  it.each([
    [0, 'who speaks large, the other in the carousel'],
    [1, 'who speaks next large'],
    [2, 'equal tiles after UpdateLayout'],
    [3, 'a screen share large, although the layout is a grid, which the next worker knows'],
    [4, 'the screen share alone'],
  ])('phase %i shows %s', (index) => {
    const phase = phases[index]!;
    const first = phases.slice(0, index).reduce((sum, { seen }) => sum + seen.length, 0);
    phase.seen.forEach((name, place) => {
      const tile = report.tiles[first + place]!;
      expect(tile.color.closest, `${name} at ${JSON.stringify(phase)}`).toBe(COLORS[name]);
      // Each is live: a picture of the carousel is too small to be read, but not to be seen.
      if (phase.arrangement !== 'speaker' || place === 0) {
        expect(tile.share, name).toBeGreaterThan(0.9);
        expect(tile.inOrder).toBe(true);
      }
    });
  });

  it('has the background of the layout', async () => {
    for (const phase of phases.slice(1, 4)) {
      // Below the carousel's last picture, and between the pictures of a grid.
      const [red = 0, green = 0, blue = 0] = await pixel(phase, 4, CANVAS.height - 4);
      const light = phase.background === 'white';
      for (const value of [red, green, blue]) {
        if (light) expect(value).toBeGreaterThan(235);
        else expect(value).toBeLessThan(20);
      }
    }
  });

  it('has a plate with a name in the lower left corner of the picture', async () => {
    const phase = phases[4]!;
    const { x, y, height } = region(phase, 0);
    // The plate is grey and the text on it white: neither is in a picture that is blue there.
    const [, , blue = 0] = await pixel(phase, x + 18, y + height - 18);
    const [, , outside = 0] = await pixel(phase, x + 4, y + height - 4);
    expect(blue).toBeLessThan(100);
    expect(outside).toBeGreaterThan(150);
  });
});
