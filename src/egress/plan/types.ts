/** What an egress is to do, decided up front from the request alone (pure), before any worker is involved. */
import type { AudioEncoding, Rendition, VideoEncoding } from '../../../pipelines/shared/protocol.ts';
import type { StoragePlan } from '../../storage/types.ts';
import type { BridgeParticipant } from '../../bridge/protocol.ts';
import type { EgressOptions } from '../request/options.ts';

export type { S3Settings, StoragePlan } from '../../storage/types.ts';

/** LiveKit's layouts; `-light` is the same on a light background. */
export const LAYOUT_NAMES = [
  'grid',
  'grid-light',
  'speaker',
  'speaker-light',
  'single-speaker',
  'single-speaker-light',
] as const;
export type LayoutName = (typeof LAYOUT_NAMES)[number];

/** Which of the two channels of the sound a track is heard on. */
export type AudioChannelName = 'both' | 'left' | 'right';

/**
 * How a room's sound is laid on two channels. `dual-agent`: agents left, everybody else right. `dual-alternate`:
 * each new sound goes left and right in turn.
 */
export type AudioMixingName = 'default' | 'dual-agent' | 'dual-alternate';

/** Kinds of participants, as the bridge names them. */
export type ParticipantKindName = BridgeParticipant['kind'];

/** One rule of v2's routed audio: what it is about, and where that goes. The first rule that fits counts. */
export type AudioRoute = { channel: AudioChannelName } & (
  { trackId: string } | { identity: string } | { kind: ParticipantKindName }
);

/** Which tracks go in. */
export type EgressSource =
  /** Everybody in the room. */
  | {
      type: 'room';
      layout: LayoutName;
      audioOnly: boolean;
      videoOnly: boolean;
      audioMixing: AudioMixingName;
      /** A template drawn by a browser instead of our own layouts. */
      customBaseUrl?: string;
      /** What the request called the layout; a template may know others than ours. With `customBaseUrl` only. */
      templateLayout?: string;
    }
  /** Named tracks. */
  | { type: 'tracks'; audioTrackId: string | undefined; videoTrackId: string | undefined }
  /** One participant, whatever they publish. */
  | { type: 'participant'; identity: string; screenShare: boolean }
  /** A page; it may have to do with no room. */
  | { type: 'web'; url: string; audioOnly: boolean; videoOnly: boolean; awaitStartSignal: boolean }
  /** v2: one picture, and sound by rules. */
  | {
      type: 'media';
      video: { trackId: string } | { identity: string; preferScreenShare: boolean } | null;
      audio: { captureAll: boolean; routes: AudioRoute[] } | null;
    };

export type ProgramChoice =
  /** Copy the video when the codec allows it for every output; the worker decides when it sees the track. */
  { program: 'auto' } | { program: 'composite' };

export interface FileOutput {
  type: 'file';
  /** Template with braces still in it; a trailing `/` or empty means: name it for me. */
  filepath: string;
  /** `auto`: by codec (Track egress: H264 -> mp4, VP8/VP9 -> webm, Opus -> ogg; else mp4). */
  fileType: 'auto' | 'mp4' | 'ogg' | 'webm' | 'mp3';
  disableManifest: boolean;
  /** Index into the plan's `storages`. */
  storage: number;
}

export interface SegmentsOutput {
  type: 'segments';
  filenamePrefix: string;
  playlistName: string;
  livePlaylistName: string;
  /** Seconds. */
  segmentDuration: number;
  suffix: 'index' | 'timestamp';
  segmentType: 'mpegts' | 'fmp4';
  /** LL-HLS: parts, preload hints, blocking reload. Needs `fmp4`. */
  lowLatency: boolean;
  /** Seconds; of LL-HLS. */
  partDuration: number;
  disableManifest: boolean;
  storage: number;
}

export interface ImagesOutput {
  type: 'images';
  /** Seconds from one picture to the next. */
  captureInterval: number;
  /** Pixels; 0: as the picture is, or as the other one says. */
  width: number;
  height: number;
  filenamePrefix: string;
  /** `none`: one file, overwritten by each picture. */
  suffix: 'index' | 'timestamp' | 'none';
  disableManifest: boolean;
  storage: number;
}

export interface StreamOutput {
  type: 'stream';
  protocol: 'rtmp' | 'srt' | 'websocket';
  /** With keys: never log; show redactStreamUrl(url). */
  urls: string[];
  /** By URL: place in the plan's `renditions`. What is not in here gets the main picture. */
  qualities?: Readonly<Record<string, number>>;
}

export type EgressOutput = FileOutput | SegmentsOutput | StreamOutput | ImagesOutput;

/** When an output is made; by default from its egress's beginning to its end. */
export interface OutputSpan {
  outputId: string;
  /** Wall clock, ms since the epoch. */
  fromMs?: number;
  toMs?: number;
}

export interface EgressPlan {
  egressId: string;
  /** Empty for a page that has to do with no room. */
  roomName: string;
  source: EgressSource;
  choice: ProgramChoice;
  /** Used when encoding. */
  video: VideoEncoding | null;
  audio: AudioEncoding | null;
  /** The picture once more, at other qualities; for streams. */
  renditions?: Rendition[];
  outputs: EgressOutput[];
  /** How many of them the request asked for; the others were added since. Default: all. */
  ownOutputs?: number;
  /** One an output; absent: all of them are made of the whole. */
  spans?: OutputSpan[];
  storages: StoragePlan[];
  /** Sluice's own, of the request and of the configuration. */
  options: EgressOptions;
}
