/**
 * One room to two destinations, at 1080p and at 480p: what the pipeline needs of the processor when the picture is
 * composed once and encoded twice, and what two egresses need, one a destination. CPU time is counted a frame that came
 * out, so that a machine that is too busy for every frame changes little.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CompositeInit, Rendition } from '../pipelines/shared/protocol.ts';
import { ffprobePackets } from '../src/demo/content/ffprobe.ts';
import { arrange } from '../src/egress/composition/layout.ts';
import { DEFAULT_VIDEO } from '../src/egress/plan/presets.ts';
import { AAC, TestPipeline } from '../test/support/pipeline.ts';
import { makeRtpClip, TestRouter } from '../test/support/rtp-source.ts';
import { report } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { memory, spent, usage } from './lib/processes.ts';
import { COLORS } from './lib/room.ts';

const ROUND_MS = 10_000;
const SETTLE_MS = 4000;
const CLIP_SECONDS = 90;
const FULL: Rendition = { width: 1920, height: 1080, bitrate: 4500 };
const SMALL: Rendition = { width: 854, height: 480, bitrate: 1000 };

interface Measured {
  name: string;
  /** CPU ms a frame of the main picture. */
  perFrame: number;
  /** Frames a second. */
  fps: number;
  /** MB. */
  pss: number;
}

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    const clips = await Promise.all(
      COLORS.map((color) =>
        makeRtpClip(folder, color, { seconds: CLIP_SECONDS, color, width: 640, height: 360 }),
      ),
    );
    const measured = [
      await measure('1080p alone', clips, FULL, []),
      await measure('480p alone', clips, SMALL, []),
      await measure('1080p and 480p, composed once', clips, FULL, [SMALL]),
    ];
    report('Four people of 640x360 and their sound, to streams at 30 frames a second', [
      ['pipeline', 'CPU ms a frame', 'frames a second', 'memory, MB PSS'],
      ...measured.map(({ name, perFrame, fps, pss }) => [
        name,
        perFrame.toFixed(1),
        fps.toFixed(1),
        pss.toFixed(0),
      ]),
      [
        'two pipelines, for comparison',
        ((measured[0]?.perFrame ?? 0) + (measured[1]?.perFrame ?? 0)).toFixed(1),
        '',
        ((measured[0]?.pss ?? 0) + (measured[1]?.pss ?? 0)).toFixed(0),
      ],
    ]);
  });
}

async function measure(
  name: string,
  clips: readonly string[],
  main: Rendition,
  renditions: Rendition[],
): Promise<Measured> {
  return Owner.run(async (owner) => {
    const video: CompositeInit['video'] = { ...DEFAULT_VIDEO, ...main, background: 'black' };
    const router = owner.own(await TestRouter.start(), (each) => each.close());
    const pipeline = owner.own(
      await TestPipeline.start({ program: 'composite', video, audio: AAC, renditions }, { keepTaps: true }),
      (each) => each.close(),
    );
    const ids = clips.map((_, index) => `T${index}`);
    await pipeline.host.send({ cmd: 'layout', tiles: arrange('grid', ids, main) });
    for (const [index, clip] of clips.entries()) {
      const { video: picture, audio } = await router.publish([clip]);
      if (!picture || !audio) throw new Error('a publisher has no tracks');
      const trackId = `T${index}`;
      await router.subscribe(pipeline.host, { trackId, producer: picture, syncGroup: trackId });
      await router.subscribe(pipeline.host, { trackId: `${trackId}s`, producer: audio, syncGroup: trackId });
    }
    const { pid } = pipeline.host;
    if (pid === undefined) throw new Error('the pipeline has no process');
    await sleep(SETTLE_MS);
    pipeline.taps.clear();
    const [before, from] = [usage([pid]), performance.now()];
    await sleep(ROUND_MS);
    const seconds = (performance.now() - from) / 1000;
    const cpu = spent(before, usage([pid])).total;
    const file = join(pipeline.dir, 'tap.ts');
    await writeFile(file, Buffer.concat(pipeline.taps.get(0) ?? []));
    const frames = (await ffprobePackets(file, 'v:0')).length;
    const { pss } = memory([pid]);
    return { name, perFrame: (cpu * 1000) / frames, fps: frames / seconds, pss };
  });
}
