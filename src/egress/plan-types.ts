/** What an egress is to do, decided up front from the request alone (pure), before any worker is involved. */
import type { AudioEncoding, VideoEncoding } from '../../pipelines/shared/protocol.ts';
import type { StoragePlan } from '../storage/types.ts';

export type { S3Settings, StoragePlan } from '../storage/types.ts';

/** Which tracks go in. */
export type EgressSource =
  /** Everybody in the room. */
  | { type: 'room'; layout: string; audioOnly: boolean; videoOnly: boolean }
  /** Named tracks. */
  | { type: 'tracks'; audioTrackId: string | undefined; videoTrackId: string | undefined };

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
  disableManifest: boolean;
  storage: number;
}

export interface StreamOutput {
  type: 'stream';
  protocol: 'rtmp' | 'srt' | 'websocket';
  /** With keys: never log; show redactStreamUrl(url). */
  urls: string[];
}

export type EgressOutput = FileOutput | SegmentsOutput | StreamOutput;

export interface EgressPlan {
  egressId: string;
  roomName: string;
  source: EgressSource;
  choice: ProgramChoice;
  /** Used when encoding. */
  video: VideoEncoding | null;
  audio: AudioEncoding | null;
  outputs: EgressOutput[];
  storages: StoragePlan[];
}
