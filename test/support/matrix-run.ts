/** Runs one combination of the matrix in a room of a running Sluice, and says where its outputs are. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from 'livekit-server-sdk';
import { trackIds } from './callers.ts';
import { rtmpDestination, srtDestination, webSocketDestination } from './destinations.ts';
import type { Destination } from './destinations.ts';
import { nameOf } from './matrix.ts';
import type { Combination } from './matrix.ts';
import type { Sluice } from './sluice.ts';
import { startWithOptions } from './sluice-egress.ts';

const SECONDS = 5;
/** Small, so that several encoders have room beside each other. */
const ENCODING = { advanced: { width: 320, height: 180, framerate: 15, video_bitrate: 500 } };

/** Whether the picture goes into these outputs as it is: then nothing is said of encoding. */
function isCopied({ source, outputs, codec }: Combination): boolean {
  return source !== 'room' && outputs !== 'webm' && (codec === 'h264' || codec === 'pcmu');
}

export interface Made {
  combination: Combination;
  infos: EgressInfo[];
  /** What was sent to a destination. */
  received: string[];
}

interface Parts {
  files: object[];
  segments: object[];
  streams: object[];
  images: object[];
  destinations: Destination[];
  options: object;
  /** Sound alone. */
  sound: boolean;
}

async function partsOf({ outputs }: Combination, folder: string, prefix: string): Promise<Parts> {
  const parts: Parts = {
    ...{ files: [], segments: [], streams: [], images: [], destinations: [], options: {} },
    sound: outputs === 'ogg' || outputs === 'mp3',
  };
  await mkdir(folder, { recursive: true });
  const hls = { filename_prefix: `${prefix}/hls`, playlist_name: `${prefix}/hls.m3u8`, segment_duration: 2 };
  switch (outputs) {
    case 'mp4+hls+rtmp+images': {
      const rtmp = await rtmpDestination(folder);
      parts.destinations.push(rtmp);
      parts.files.push({ file_type: 'MP4', filepath: `${prefix}/file.mp4` });
      parts.segments.push(hls);
      parts.streams.push({ protocol: 'RTMP', urls: [rtmp.url] });
      parts.images.push({ filename_prefix: `${prefix}/image`, capture_interval: 2 });
      break;
    }
    case 'fmp4+srt': {
      const srt = await srtDestination(folder);
      parts.destinations.push(srt);
      parts.segments.push(hls);
      parts.streams.push({ protocol: 'SRT', urls: [srt.url] });
      parts.options = { hls: { segment_type: 'fmp4' } };
      break;
    }
    case 'webm':
      parts.files.push({ filepath: `${prefix}/file.webm` });
      break;
    case 'ogg':
    case 'mp3':
      parts.files.push({ file_type: outputs.toUpperCase(), filepath: `${prefix}/file` });
      break;
    case 'websocket':
      parts.destinations.push(await webSocketDestination(folder));
      break;
    case 'own':
      break;
  }
  return parts;
}

/** The requests of a combination, as `sluice.Egress/StartEgress` takes them. */
async function requestsOf(
  sluice: Sluice,
  room: string,
  identity: string,
  combination: Combination,
  parts: Parts,
  prefix: string,
): Promise<object[]> {
  const { source, outputs } = combination;
  const { audio, video } = await trackIds(sluice, room, identity);
  const named = { room_name: room };
  const listed = {
    ...{ file_outputs: parts.files, segment_outputs: parts.segments },
    ...{ stream_outputs: parts.streams, image_outputs: parts.images },
  };
  const encoding = parts.sound || isCopied(combination) ? {} : ENCODING;
  switch (source) {
    case 'room':
      return [{ room_composite: { ...named, ...listed, ...encoding, audio_only: parts.sound } }];
    case 'tracks':
      return [
        {
          track_composite: {
            ...{ ...named, ...listed, ...encoding, audio_track_id: audio },
            ...(parts.sound ? {} : { video_track_id: video }),
          },
        },
      ];
    case 'participant':
      return [{ participant: { ...named, ...listed, ...encoding, identity } }];
    case 'media': {
      const sound = { routes: [{ participant_identity: identity }] };
      const picture = parts.sound ? {} : { participant_video: { identity } };
      const each = {
        ...{ file: parts.files, segments: parts.segments },
        ...{ stream: parts.streams, images: parts.images },
      };
      const list = Object.entries(each).flatMap(([kind, configs]) =>
        configs.map((config) => ({ [kind]: config })),
      );
      return [{ start: { ...named, ...encoding, media: { ...picture, audio: sound }, outputs: list } }];
    }
    case 'track':
      if (outputs === 'websocket') {
        return [{ track: { ...named, track_id: audio, websocket_url: parts.destinations[0]!.url } }];
      }
      return [video, audio].map((id) => ({
        track: { ...named, track_id: id, file: { filepath: `${prefix}/{track_type}` } },
      }));
  }
}

/** @param folder for what is received; emptied by nobody */
export async function runCombination(
  sluice: Sluice,
  { room, identity, combination }: { room: string; identity: string; combination: Combination },
  folder: string,
): Promise<Made> {
  const prefix = nameOf(combination).replace(/[^a-z0-9]+/gi, '-');
  const parts = await partsOf(combination, join(folder, prefix), prefix);
  try {
    const requests = await requestsOf(sluice, room, identity, combination, parts, prefix);
    const ids = await Promise.all(
      requests.map((request) => startWithOptions(sluice, room, { ...request, options: parts.options })),
    );
    const active = ({ status }: EgressInfo): boolean => status !== EgressStatus.EGRESS_STARTING;
    for (const id of ids) await sluice.waitForEgress(id, active);
    await sleep(SECONDS * 1000);
    const infos: EgressInfo[] = [];
    for (const id of ids) await sluice.egress.stopEgress(id);
    for (const id of ids) {
      const ended = ({ status }: EgressInfo): boolean => status >= EgressStatus.EGRESS_COMPLETE;
      infos.push(await sluice.waitForEgress(id, ended, 60_000));
    }
    return { combination, infos, received: parts.destinations.map(({ file }) => file) };
  } finally {
    for (const destination of parts.destinations) await destination.stop();
  }
}
