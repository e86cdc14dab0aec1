/**
 * Images of a running egress, by keyframe and by decoding, beside a recording with manifest and storyboard; and of a
 * room of which nothing else is kept.
 */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus, ImageFileSuffix, ImageOutput } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import { readVideo } from '../../src/demo/content/read-video.ts';
import { readTile } from '../../src/demo/content/tile.ts';
import { publish, SMALL, trackIds } from '../support/callers.ts';
import { jpegSize } from '../support/fading-log.ts';
import { startWithOptions } from '../support/sluice-egress.ts';
import { Sluice } from '../support/sluice.ts';

const ROOM = 'pictures';
const ended = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;

const place = z.object({ filename: z.string(), location: z.string() });
const manifestSchema = z.object({
  egress_id: z.string(),
  room_name: z.literal(ROOM),
  publisher_identity: z.string(),
  segment_count: z.number(),
  files: z.array(
    place.extend({ size: z.number(), storyboard: place.extend({ sheets: z.array(place).length(1) }) }),
  ),
  playlists: z.array(z.object({ location: z.string(), segments: z.array(place) })),
  images: z.array(place.extend({ timestamp: z.iso.datetime() })),
});

/** The publisher's frame an image shows, and its size. */
async function look(path: string) {
  const { width, height } = jpegSize(await readFile(path));
  let counter: number | null = null;
  await readVideo(path, { width, height }, (picture) => {
    ({ counter } = readTile(picture, { x: 0, y: 0, width, height }));
  });
  return { width, height, counter: counter ?? NaN };
}

describe('images', () => {
  let sluice: Sluice;
  let alice: TestPublisher;
  let all: EgressInfo;
  let only: EgressInfo;

  const folder = (name: string) => join(sluice.dataDir, 'recordings', name);

  const manifest = async () => manifestSchema.parse(JSON.parse(await readFile(all.manifestLocation, 'utf8')));

  beforeAll(async () => {
    sluice = await Sluice.start();
    alice = await publish(sluice, ROOM, 'alice', { color: 'red', fps: 15, gopSeconds: 2 });
    const { video, audio } = await trackIds(sluice, ROOM, 'alice');
    const id = await startWithOptions(sluice, ROOM, {
      track_composite: {
        ...{ room_name: ROOM, video_track_id: video, audio_track_id: audio },
        file_outputs: [{ filepath: 'all/call' }],
        segment_outputs: [{ filename_prefix: 'all/part', segment_duration: 2, disable_manifest: true }],
        image_outputs: [
          { filename_prefix: 'all/key', capture_interval: 4 },
          {
            ...{ filename_prefix: 'all/second', capture_interval: 1, width: 240, height: 240 },
            filename_suffix: 'IMAGE_SUFFIX_TIMESTAMP',
          },
        ],
      },
      options: { storyboard: { interval: 2, columns: 3 } },
    });
    const { egressId } = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      {
        images: new ImageOutput({
          ...{ filenamePrefix: 'only/now', captureInterval: 2, disableManifest: true },
          filenameSuffix: ImageFileSuffix.IMAGE_SUFFIX_NONE_OVERWRITE,
        }),
      },
      { encodingOptions: SMALL },
    );
    for (const each of [id, egressId])
      await sluice.waitForEgress(each, ({ imageResults: [first] }) => (first?.imageCount ?? 0n) > 0n);
    await sleep(7000);
    await Promise.all([sluice.egress.stopEgress(id), sluice.egress.stopEgress(egressId)]);
    all = await sluice.waitForEgress(id, ended);
    only = await sluice.waitForEgress(egressId, ended);
  });

  afterAll(async () => {
    await alice?.stop();
    await sluice?.stop();
  });

  it('complete', () => {
    expect(EgressStatus[all.status], `${all.error} ${sluice.tail()}`).toBe('EGRESS_COMPLETE');
    expect(EgressStatus[only.status], `${only.error} ${sluice.tail()}`).toBe('EGRESS_COMPLETE');
  });

  it('show the publisher at the interval asked for, in the size asked for', async () => {
    const names = (await readdir(folder('all'))).sort();
    const keys = names.filter((name) => name.startsWith('key_'));
    expect(keys).toEqual(keys.map((_, i) => `key_${String(i).padStart(5, '0')}.jpeg`));
    const [byKey, bySecond] = all.imageResults;
    expect(byKey).toMatchObject({ filenamePrefix: 'all/key', imageCount: BigInt(keys.length) });
    const seconds = names.filter((name) => name.startsWith('second_'));
    expect(bySecond).toMatchObject({ filenamePrefix: 'all/second', imageCount: BigInt(seconds.length) });
    expect(keys.length).toBeGreaterThanOrEqual(2);
    expect(seconds.length).toBeGreaterThanOrEqual(6);

    // What the recording shows at the time an image says it is of.
    const [file] = all.fileResults;
    const { tiles } = await analyse(file!.location, { tiles: [{ name: 'alice', color: 'red', fps: 15 }] });
    const times: number[] = [];
    for (const { filename, location, timestamp } of (await manifest()).images) {
      if (!filename.startsWith('all/key')) continue;
      const at = Date.parse(timestamp) / 1000 - Number(file!.startedAt) / 1e9;
      const { width, height, counter } = await look(location);
      expect([width, height]).toEqual([320, 180]);
      const near = tiles[0]!.frames.filter(({ time }) => Math.abs(time - at) < 0.15);
      expect(
        near.map((frame) => frame.counter),
        `${filename}, at ${at} s`,
      ).toContain(counter);
      times.push(at);
    }
    expect(times.length).toBe(keys.length);
    for (const [i, at] of times.entries()) {
      const apart = at - (times[i - 1] ?? at - 4);
      expect(apart, `${i}`).toBeGreaterThan(1.9);
      expect(apart, `${i}`).toBeLessThan(6.1);
    }
    for (const name of seconds)
      expect(jpegSize(await readFile(join(folder('all'), name)))).toEqual({ width: 240, height: 240 });
  });

  it('are told of in the manifest, with the recording, its storyboard and the segments', async () => {
    expect(all.manifestLocation).toBe(join(folder('all'), `${all.egressId}.json`));
    const found = await manifest();
    expect(found).toMatchObject({ egress_id: all.egressId, publisher_identity: 'alice' });
    const [file] = found.files;
    const [playlist] = found.playlists;
    expect(file).toMatchObject({
      filename: 'all/call.mp4',
      location: all.fileResults[0]?.location,
      size: Number(all.fileResults[0]?.size),
    });
    expect(found.segment_count).toBe(Number(all.segmentResults[0]?.segmentCount));
    expect(playlist?.segments).toHaveLength(found.segment_count);
    const images = all.imageResults.reduce((sum, { imageCount }) => sum + Number(imageCount), 0);
    expect(found.images).toHaveLength(images);
    // Everything it names is there.
    const named = [
      ...found.files.flatMap((each) => [each, each.storyboard, ...each.storyboard.sheets]),
      ...found.playlists.flatMap(({ location, segments }) => [{ location }, ...segments]),
      ...found.images,
    ];
    for (const { location } of named) expect((await readFile(location)).length, location).toBeGreaterThan(0);

    const vtt = await readFile(file!.storyboard.location, 'utf8');
    const cues = [...vtt.matchAll(/^(call-storyboard_00000\.jpeg)#xywh=(\d+),(\d+),160,90$/gm)];
    expect(cues.length).toBeGreaterThanOrEqual(3);
    const sheet = jpegSize(await readFile(file!.storyboard.sheets[0]!.location));
    expect([sheet.width, sheet.height % 90]).toEqual([480, 0]);
  });

  it('can be all that is kept of a room, under one name', async () => {
    expect(await readdir(folder('only'))).toEqual(['now.jpeg']);
    const [result] = only.imageResults;
    expect(Number(result?.imageCount)).toBeGreaterThanOrEqual(3);
    const { width, height, counter } = await look(join(folder('only'), 'now.jpeg'));
    expect([width, height]).toEqual([SMALL.width, SMALL.height]);
    expect(counter).toBeGreaterThan(0);
    expect(only.manifestLocation).toBe('');
  });

  it('are refused where there is no picture', async () => {
    const images = new ImageOutput({ filenamePrefix: 'none/a' });
    await expect(
      sluice.egress.startRoomCompositeEgress(ROOM, { images }, { audioOnly: true }),
    ).rejects.toThrow(/image_outputs/);
    await expect(
      sluice.egress.startTrackCompositeEgress(ROOM, { images }, { audioTrackId: 'TR_sound' }),
    ).rejects.toThrow(/image_outputs/);
  });
});
