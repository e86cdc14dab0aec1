/**
 * Source × outputs × codec: what comes out is looked at and listened to, whatever goes in. Every pair of them is in
 * one of the combinations here; TEST_MATRIX=all runs all of them.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { EgressStatus } from '@livekit/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ColorName } from '../../src/demo/content/analyse.ts';
import { publish } from '../support/callers.ts';
import { CODECS, everyCombination, nameOf, pairwise } from '../support/matrix.ts';
import type { Combination } from '../support/matrix.ts';
import { runCombination } from '../support/matrix-run.ts';
import type { Made } from '../support/matrix-run.ts';
import { Sluice } from '../support/sluice.ts';

const AT_ONCE = 6;
const FPS = 10;
const COLORS: Record<Combination['codec'], ColorName> = {
  h264: 'red',
  vp8: 'green',
  vp9: 'blue',
  pcmu: 'yellow',
};
const all = process.env.TEST_MATRIX === 'all';
const combinations = all ? everyCombination() : pairwise(everyCombination());

const PICTURE = { mp4: 'h264', webm: /^vp[89]$/, m3u8: 'h264', flv: 'h264', ts: 'h264' } as const;
const SOUND = {
  mp4: 'aac',
  webm: 'opus',
  m3u8: 'aac',
  flv: 'aac',
  ts: 'aac',
  ogg: 'opus',
  mp3: 'mp3',
  wav: 'pcm_s16le',
};

let sluice: Sluice;
let folder: string;
const publishers: TestPublisher[] = [];
const made = new Map<Combination, Promise<Made>>();
let left: Promise<unknown> | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-matrix-'));
  sluice = await Sluice.start({ env: { SLUICE_WORKER_CPU_LIMIT: '64', SLUICE_WORKER_MAX_JOBS: '32' } });
  await Promise.all(
    CODECS.map(async (codec) => {
      const video =
        codec === 'pcmu' ? ({ videoCodec: 'h264', audioCodec: 'pcmu' } as const) : { videoCodec: codec };
      const size = {
        ...{ width: 320, height: 180, fps: FPS },
        // As much as it needs for every barcode to be read.
        ...(codec === 'vp9' && { videoBitrate: 1000 }),
      };
      publishers.push(
        await publish(sluice, codec, codec, { color: COLORS[codec], gopSeconds: 1, ...size, ...video }),
      );
    }),
  );
  // A few at a time, each as soon as there is room; the tests wait for theirs.
  const waiting = [...combinations];
  const results = new Map(combinations.map((each) => [each, Promise.withResolvers<Made>()]));
  for (const [each, { promise }] of results) {
    promise.catch(() => undefined);
    made.set(each, promise);
  }
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const { codec } = next;
      const place = { room: codec, identity: codec, combination: next };
      await runCombination(sluice, place, folder).then(results.get(next)!.resolve, results.get(next)!.reject);
    }
  };
  const working = Array.from({ length: AT_ONCE }, work);
  // Nobody need publish while the last are looked at.
  left = Promise.all(working).then(() => Promise.all(publishers.map((publisher) => publisher.stop())));
}, 60_000);

afterAll(async () => {
  await left;
  for (const publisher of publishers) await publisher.stop();
  await sluice?.stop();
  await rm(folder, { recursive: true, force: true });
}, 120_000);

/** Which of the two a file holds. */
const kindsOf = ({ source, outputs }: Combination, file: string) => ({
  picture: !/\.(ogg|mp3|wav)$/.test(file),
  sound: !(source === 'track' && outputs === 'own' && !file.endsWith('.ogg')),
});

async function look(combination: Combination, file: string): Promise<void> {
  const { codec } = combination;
  const report = await analyse(file, {
    // Encoders and destinations settle first.
    tiles: [{ name: codec, color: COLORS[codec], fps: FPS, from: 1 }],
  });
  const [tile] = report.tiles;
  const { picture, sound } = kindsOf(combination, file);
  const extension = file.slice(file.lastIndexOf('.') + 1);
  const shown = `${file}: ${JSON.stringify({ ...tile, frames: undefined, missing: undefined })}`;
  expect(report.video !== null, shown).toBe(picture);
  expect(report.audio !== null, shown).toBe(sound);
  expect(report.decodeErrors, file).toEqual([]);
  expect(report.duration, shown).toBeGreaterThan(3.5);
  if (report.video) {
    expect(report.video.codec, shown).toMatch(PICTURE[extension as keyof typeof PICTURE]);
    expect(report.video).toMatchObject({ width: 320, height: 180, monotonic: true });
    expect(tile!.share, shown).toBeGreaterThanOrEqual(0.9);
    expect(tile!.inOrder, shown).toBe(true);
    expect(tile!.color.closest, shown).toBe(COLORS[codec]);
  }
  if (report.audio) {
    expect(report.audio.codec, shown).toBe(SOUND[extension as keyof typeof SOUND]);
    expect(tile!.beepShare, shown).toBeGreaterThanOrEqual(0.6);
  }
  // In the first seconds lip sync goes by arrival, and here are no others.
  if (report.video && report.audio) expect(Math.abs(tile!.avOffset.p50), shown).toBeLessThanOrEqual(150);
}

/** One of each kind is enough: that images come when they should is tested elsewhere. */
async function lookAtImage(combination: Combination, prefix: string): Promise<void> {
  const names = await readdir(dirname(prefix));
  const images = names.filter((name) => name.endsWith('.jpeg')).sort();
  expect(images.length).toBeGreaterThanOrEqual(2);
  const { tiles, video } = await analyse(join(dirname(prefix), images.at(-1)!), {
    tiles: [{ name: 'image', color: COLORS[combination.codec], fps: FPS }],
  });
  expect(video).toMatchObject({ width: 320, height: 180 });
  expect(tiles[0]?.color.closest).toBe(COLORS[combination.codec]);
}

describe('source, codec → outputs', () => {
  it.each(combinations.map((each) => ({ name: nameOf(each), combination: each })))(
    '$name',
    async ({ combination }) => {
      const { infos, received } = await made.get(combination)!;
      const files: string[] = [...received];
      for (const info of infos) {
        expect(EgressStatus[info.status], `${info.error} ${info.details}`).toBe('EGRESS_COMPLETE');
        files.push(...info.fileResults.map(({ location }) => location));
        for (const { playlistLocation } of info.segmentResults) {
          files.push(playlistLocation);
        }
        for (const { filenamePrefix } of info.imageResults) {
          await lookAtImage(combination, join(sluice.dataDir, 'recordings', filenamePrefix));
        }
      }
      expect(files.length).toBeGreaterThan(0);
      for (const file of files) await look(combination, file);
    },
    150_000,
  );
});
