/**
 * Twenty-five people in one picture, 1280x720 at 30: what the pipeline needs of the processor, in a grid, with names,
 * and in the speaker layout, and whether every picture keeps moving.
 *
 * Each tile is a track of its own in the pipeline (socket, jitterbuffer, decoder, sound); behind them are four
 * publishers, so that making the media does not take the machine from what is measured. They send 320x180, the layer a
 * tile of this size gets of a simulcast publisher.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Tile } from '../pipelines/shared/protocol.ts';
import { analyse, fitPicture } from '../src/demo/content/analyse.ts';
import { arrange, MAX_TILES, namePlace } from '../src/egress/composition/layout.ts';
import { DEFAULT_VIDEO } from '../src/egress/plan/presets.ts';
import { AAC, TestPipeline } from '../test/support/pipeline.ts';
import { makeRtpClip, TestRouter } from '../test/support/rtp-source.ts';
import { report, say } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { memory, spent, usage } from './lib/processes.ts';
import { COLORS } from './lib/room.ts';

const ROUND_MS = 8000;
/** After a change: keyframes, and the layer below, have to come. */
const SETTLE_MS = 3000;
const SIZE = { width: 320, height: 180 };
const CLIP_SECONDS = 90;

interface Phase {
  name: string;
  tiles: Tile[];
  /** Seconds into the recording. */
  from: number;
  to: number;
  cores: number;
}

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    const router = owner.own(await TestRouter.start(), (each) => each.close());
    const pipeline = owner.own(
      await TestPipeline.start(
        {
          program: 'composite',
          video: { ...DEFAULT_VIDEO, background: 'black' },
          audio: AAC,
          levels: true,
        },
        { tap: false },
      ),
      (each) => each.close(),
    );
    const startedAt = performance.now();
    const seconds = () => (performance.now() - startedAt) / 1000;
    const clips = await Promise.all(
      COLORS.map((color) => makeRtpClip(folder, color, { seconds: CLIP_SECONDS, color, ...SIZE })),
    );
    const people = await Promise.all(clips.map((clip) => router.publish([clip])));
    const ids = Array.from({ length: MAX_TILES }, (_, index) => `T${index}`);
    for (const [index, trackId] of ids.entries()) {
      const { video, audio } = people[index % people.length]!;
      if (!video || !audio) throw new Error('a publisher has no tracks');
      await router.subscribe(pipeline.host, { trackId, producer: video, syncGroup: trackId });
      await router.subscribe(pipeline.host, { trackId: `${trackId}s`, producer: audio, syncGroup: trackId });
    }
    const pid = pipeline.host.pid;
    if (pid === undefined) throw new Error('the pipeline has no process');
    const measure = async (name: string, tiles: Tile[]): Promise<Phase> => {
      await pipeline.host.send({ cmd: 'layout', tiles });
      await sleep(SETTLE_MS);
      const [before, from] = [usage([pid]), seconds()];
      await sleep(ROUND_MS);
      const [after, to] = [usage([pid]), seconds()];
      return { name, tiles, from, to, cores: spent(before, after).total / (to - from) };
    };
    const grid = arrange('grid', ids, DEFAULT_VIDEO);
    const speaker = arrange('speaker', ids, DEFAULT_VIDEO);
    const phases = [
      await measure('nobody shown', []),
      await measure('grid', grid),
      await measure('grid with names', withNames(grid)),
      await measure('speaker', speaker),
    ];
    const used = memory([pid]);
    await pipeline.stop();
    const file = await pipeline.joined();
    const seen = phases.flatMap((phase) =>
      // The carousel's pictures are too small for the analyser to read.
      phase.tiles.slice(0, phase.name === 'speaker' ? 1 : undefined).map((tile) => ({ phase, tile })),
    );
    const result = await analyse(file, {
      tiles: seen.map(({ phase, tile }) => ({
        name: tile.trackId,
        color: COLORS[ids.indexOf(tile.trackId) % COLORS.length]!,
        region: fitPicture(tile, SIZE.width, SIZE.height),
        from: phase.from,
        to: phase.to,
      })),
    });
    report(`${MAX_TILES} people of 320x180 and their sound, to 1280x720 at 30`, [
      ['layout', 'cores', 'least share of frames seen', 'longest standstill, ms'],
      ...phases.map((phase) => {
        const tiles = result.tiles.filter((_, index) => seen[index]?.phase === phase);
        if (tiles.length === 0) return [phase.name, phase.cores.toFixed(2), '-', '-'];
        return [
          phase.name,
          phase.cores.toFixed(2),
          Math.min(...tiles.map(({ share }) => share ?? 0)).toFixed(3),
          Math.max(...tiles.map(({ longestGapMs }) => longestGapMs)).toFixed(0),
        ];
      }),
    ]);
    say(`longest gap between the recording's own frames: ${result.video?.maxGapMs.toFixed(0) ?? '-'} ms`);
    say(`memory: ${used.pss.toFixed(0)} MB PSS, ${used.rss.toFixed(0)} MB RSS`);
  });
}

function withNames(tiles: readonly Tile[]): Tile[] {
  return tiles.map((tile, index) => ({
    ...tile,
    name: { text: `Participant ${index + 1}`, ...namePlace(tile, SIZE.width / SIZE.height) },
  }));
}
