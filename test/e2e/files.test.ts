/**
 * Kinds of files beside MP4, and limits: OGG and MP3 of a room's sound, WebM composed and copied, segments of sound alone;
 * ended by StopEgress, by a request's limit of time or size, and by the installation's.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus, EncodedFileOutput, EncodedFileType } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import { ffprobe } from '../../src/demo/content/ffprobe.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { publish, trackIds } from '../support/callers.ts';
import { assertPlaylist } from '../support/hls-rules.ts';
import { Sluice } from '../support/sluice.ts';
import { startWithOptions } from '../support/sluice-egress.ts';

const ROOM = 'files';
const MAX_SECONDS = 4;
const MAX_BYTES = 150_000;
const SEGMENT_SECONDS = 2;
const INSTALLATION_SECONDS = 5;
const isOver = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;

describe('files', () => {
  let sluice: Sluice;
  let alice: TestPublisher;
  const ended = new Map<string, EgressInfo>();

  const info = (name: string): EgressInfo => {
    const found = ended.get(name);
    if (!found) throw new Error(`${name} has not ended\n${sluice.tail()}`);
    return found;
  };
  const fileOf = (name: string): string => {
    const location = info(name).fileResults[0]?.location;
    if (!location) throw new Error(`${name} has no file: ${info(name).toJsonString()}\n${sluice.tail()}`);
    return location;
  };

  beforeAll(async () => {
    sluice = await Sluice.start({
      env: {
        SLUICE_WORKER_MAX_JOBS: '5',
        SLUICE_WORKER_CPU_LIMIT: '8',
        SLUICE_EGRESS_LIMITS_SEGMENTS_MAX_DURATION: String(INSTALLATION_SECONDS),
      },
    });
    alice = await publish(sluice, ROOM, 'alice', {
      color: 'red',
      videoCodec: 'vp8',
      width: 480,
      height: 270,
      fps: 15,
    });
    const { video } = await trackIds(sluice, ROOM, 'alice');
    const room = { room_name: ROOM, audio_only: true };
    const ids = new Map<string, string>();
    const { egressId: ogg } = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      new EncodedFileOutput({ filepath: 'call', fileType: EncodedFileType.OGG }),
      { audioOnly: true },
    );
    const { egressId: copied } = await sluice.egress.startTrackCompositeEgress(
      ROOM,
      new EncodedFileOutput({ filepath: 'copied.webm' }),
      { videoTrackId: video! },
    );
    ids.set('ogg', ogg).set('copied', copied);
    ids.set(
      'mp3',
      await startWithOptions(sluice, ROOM, {
        room_composite: { ...room, file_outputs: [{ filepath: 'timed', file_type: 'MP3' }] },
        options: { limits: { file: { max_duration: MAX_SECONDS } } },
      }),
    );
    ids.set(
      'webm',
      await startWithOptions(sluice, ROOM, {
        room_composite: {
          room_name: ROOM,
          file_outputs: [{ filepath: 'small.webm' }],
          advanced: { width: 320, height: 180, framerate: 15, video_bitrate: 300, key_frame_interval: 1 },
        },
        options: { limits: { file: { max_size: MAX_BYTES } } },
      }),
    );
    ids.set(
      'segments',
      await startWithOptions(sluice, ROOM, {
        room_composite: {
          ...room,
          segment_outputs: [{ playlist_name: 'sound.m3u8', segment_duration: SEGMENT_SECONDS }],
        },
      }),
    );
    for (const id of ids.values())
      await sluice.waitForEgress(id, ({ status }) => status >= EgressStatus.EGRESS_ACTIVE);
    await sleep(4500);
    // One that has failed already is told of by a test of its own.
    await Promise.allSettled([ogg, copied].map((id) => sluice.egress.stopEgress(id)));
    for (const [name, id] of ids) ended.set(name, await sluice.waitForEgress(id, isOver));
  });

  afterAll(async () => {
    await alice?.stop();
    await sluice?.stop();
  });

  it.each([
    ['ogg', 'EGRESS_COMPLETE', ''],
    ['copied', 'EGRESS_COMPLETE', ''],
    ['mp3', 'EGRESS_LIMIT_REACHED', `Session limit reached: the file has lasted ${MAX_SECONDS} s`],
    ['webm', 'EGRESS_LIMIT_REACHED', `Session limit reached: the file has its ${MAX_BYTES} bytes`],
    [
      'segments',
      'EGRESS_LIMIT_REACHED',
      `Session limit reached: the segments have lasted ${INSTALLATION_SECONDS} s`,
    ],
  ])('%s ends as %s', (name, status, error) => {
    expect(EgressStatus[info(name).status], `${info(name).toJsonString()} ${sluice.tail()}`).toBe(status);
    expect(info(name).error).toBe(error);
    expect(info(name).errorCode).toBe(error === '' ? 0 : 413);
  });

  it.each([
    ['ogg', 'call.ogg', undefined, 'opus'],
    ['mp3', 'timed.mp3', undefined, 'mp3'],
    ['webm', 'small.webm', 'vp8', 'opus'],
    ['copied', 'copied.webm', 'vp8', undefined],
  ])('%s is kept as %s, and holds what was said and shown', async (name, filename, video, audio) => {
    expect(info(name).fileResults[0]?.filename).toBe(filename);
    const found = await ffprobe(fileOf(name));
    expect([found.video?.codec, found.audio?.codec]).toEqual([video, audio]);
    const { decodeErrors, tiles } = await analyse(fileOf(name), {
      tiles: [{ name: 'red', color: 'red', fps: 15, from: 1 }],
    });
    expect(decodeErrors).toEqual([]);
    if (audio) expect(tiles[0]?.beepShare).toBe(1);
    if (video) expect(tiles[0]?.inOrder).toBe(true);
  });

  it('a file is as long and as large as it may be, and no longer and no larger', async () => {
    const { duration = 0 } = await ffprobe(fileOf('mp3'));
    expect(duration).toBeLessThanOrEqual(MAX_SECONDS + 0.3);
    expect(duration).toBeGreaterThan(MAX_SECONDS - 2);
    const { size } = await stat(fileOf('webm'));
    expect(size).toBeLessThanOrEqual(MAX_BYTES);
    expect(size).toBeGreaterThan(MAX_BYTES * 0.5);
    expect(Number(info('webm').fileResults[0]?.size)).toBe(size);
  });

  it('what was asked for is what is recorded', async () => {
    const { video } = await ffprobe(fileOf('webm'));
    expect(video).toMatchObject({ width: 320, height: 180 });
    const { video: copied } = await ffprobe(fileOf('copied'));
    expect(copied).toMatchObject({ width: 480, height: 270 });
    await sluice.main.logged('video/VP8 is copied');
  });

  it('segments of sound alone are as long as was asked for, to a frame', async () => {
    const url = `${sluice.url}/files/${info('segments').segmentResults[0]?.playlistName}`;
    const playlist = await (await fetch(url)).text();
    const { segments } = assertPlaylist(playlist);
    expect(playlist).toContain('#EXT-X-ENDLIST');
    expect(segments.length).toBeGreaterThanOrEqual(2);
    for (const { duration } of segments.slice(0, -1)) {
      expect(Math.abs(duration - SEGMENT_SECONDS)).toBeLessThan(0.025);
    }
    const { tiles } = await analyse(join(sluice.dataDir, 'recordings', 'sound.m3u8'), {
      tiles: [{ name: 'red', color: 'red', fps: 15, from: 1 }],
    });
    expect(tiles[0]?.beepShare).toBe(1);
  });
});
