/**
 * What the worker (Node) and a pipeline program (gjs) say to each other: JSON lines, commands on the
 * program's stdin, answers and events on its stdout. Only types and constants: both sides compile it.
 * Times are nanoseconds on the egress clock unless the name says otherwise.
 *
 * stdin EOF, or no line for {@link PARENT_TIMEOUT_MS}, ends the program at once: it never outlives its worker.
 */

/** The worker sends `ping` at least every second. */
export const PARENT_TIMEOUT_MS = 5000;

/** File descriptor of the live tap: the program's MPEG-TS or Matroska bytes as they leave the muxer. */
export const TAP_FD = 3;
/** Those of the renditions' taps, in their order: {@link CompositeInit.renditions}. */
export const RENDITION_FDS = [4, 5, 6, 7] as const;

export type Container = 'mpegts' | 'matroska';

/** SRTP keying of one direction. */
export interface SrtpKey {
  cryptoSuite:
    'AEAD_AES_256_GCM' | 'AEAD_AES_128_GCM' | 'AES_CM_128_HMAC_SHA1_80' | 'AES_CM_128_HMAC_SHA1_32';
  /** Master key and salt. */
  keyBase64: string;
}

/** Settings of the encoder behind a composite. */
export interface VideoEncoding {
  /** VP8 and VP9 go into Matroska only. */
  codec: 'h264' | 'vp8' | 'vp9';
  /** H.264's; VP8 and VP9 have none that matters here. */
  profile: 'baseline' | 'main' | 'high';
  /** Pixels, even. */
  width: number;
  height: number;
  /** Frames per second. */
  framerate: number;
  /** kbit/s. */
  bitrate: number;
  /** Seconds between keyframes. */
  keyFrameInterval: number;
  /** x264 speed preset, e.g. `veryfast`. */
  preset: string;
}

export interface AudioEncoding {
  /** AAC goes into MPEG-TS, Opus and MP3 go into Matroska. */
  codec: 'aac' | 'opus' | 'mp3';
  /** kbit/s; of MP3 one of the rates that its frequency has. */
  bitrate: number;
  /** Hz. */
  frequency: number;
  channels: 1 | 2;
  /** AAC: the bitrate was asked for, and is held within a few percent, at twice the CPU. */
  exact?: boolean;
}

export interface LogTarget {
  /** Existing folder the chunks go into. */
  dir: string;
  /** printf pattern of a chunk's file name inside `dir`, with one %06d, e.g. `r0-%06d.ts`. */
  pattern: string;
  container: Container;
  /** Length of a chunk where there is no picture to cut at, ns; 2 s unless it is said. */
  soundChunkNs?: number;
}

/** Copies one video and/or one audio track. Absent: the program has no such leg. */
export interface PassthroughInit {
  program: 'passthrough';
  /**
   * Wall clock of egress-clock zero, ms: the pipeline's time begins where that clock is at the moment it plays, however
   * long it took to be built.
   */
  epochMs: number;
  log: LogTarget;
  tap: boolean;
  /** What is logged is watched as it comes, as what a tap carries is: nothing is put off to be cheaper. */
  live?: boolean;
  /** mimeType of the copied video, e.g. `video/H264`, or null without video. */
  video: { mimeType: string } | null;
  /** `copy` keeps Opus (Matroska only); otherwise decoded, mixed with silence and encoded. */
  audio: { mode: 'copy'; mimeType: string } | { mode: 'encode'; encoding: AudioEncoding } | null;
}

/** Any number of tracks, one picture, one sound. Also the transcode of a single track. */
export interface CompositeInit {
  program: 'composite';
  /** As in {@link PassthroughInit}. */
  epochMs: number;
  log: LogTarget;
  tap: boolean;
  /** As in {@link PassthroughInit}. */
  live?: boolean;
  /** `pcm`: the tap carries the mixed sound as s16le, 48 kHz, mono, and nothing else. Default `muxed`, as in the log. */
  tapFormat?: 'muxed' | 'pcm';
  video: (VideoEncoding & { background: string }) | null;
  audio: AudioEncoding | null;
  /** Tell how loud each track is: whoever speaks is to be found by it. */
  levels?: boolean;
  /** The same picture at other sizes, each as MPEG-TS with the same sound on a tap of its own. */
  renditions?: Rendition[];
  /** A page is recorded instead of tracks: nothing is received, and nothing laid out. */
  page?: PageSurface;
}

/** What a page is drawn and heard on. */
export interface PageSurface {
  /** X display, e.g. `:7`; the page is at its left upper corner, as large as the picture. */
  display: string;
  /** File that opens it. */
  xauthority: string;
  /** PulseAudio server and source; absent: the page is not heard. */
  sound?: { server: string; device: string };
  /** It begins hidden, see the command `hide`. */
  hidden?: boolean;
}

/** What a rendition has of its own; the rest is as in the main picture. */
export interface Rendition {
  /** Pixels, even. */
  width: number;
  height: number;
  /** kbit/s. */
  bitrate: number;
}

export type Init = PassthroughInit | CompositeInit;

export interface RtpCodec {
  mimeType: string;
  payloadType: number;
  clockRate: number;
  channels?: number;
  /** fmtp. */
  parameters: Record<string, string | number>;
}

/** A picture's place on the canvas, in pixels; the source is scaled to fit, letterboxed. */
export interface Tile {
  trackId: string;
  x: number;
  y: number;
  width: number;
  height: number;
  /** Stacking order, higher is in front; 1 and up. */
  z: number;
  /** Written over the picture: a plate `height` pixels high, as wide as the text needs, at most `maxWidth`. */
  name?: { text: string; x: number; y: number; height: number; maxWidth: number };
}

export type Command =
  | ({ cmd: 'init' } & Init)
  /** Go to PLAYING. Answered when the pipeline plays. */
  | { cmd: 'start' }
  /** Bind a UDP socket for a track and answer its port. `ip`: the local address to bind. */
  | { cmd: 'bind'; trackId: string; ip: string; portMin?: number; portMax?: number }
  /** Build and start the track's receiver on the bound socket. */
  | {
      cmd: 'connect';
      trackId: string;
      /** Tracks of one sync group (one participant) are kept lip-synchronous. */
      syncGroup: string;
      kind: 'audio' | 'video';
      codec: RtpCodec;
      ssrc: number;
      remote: { ip: string; port: number };
      /** `local` is what we send RTCP with, `remote` what the SFU sends with. */
      srtp?: { local: SrtpKey; remote: SrtpKey };
      muted: boolean;
      /** Audio of a composite: where it is heard. */
      channel?: 'both' | 'left' | 'right';
    }
  | { cmd: 'disconnect'; trackId: string }
  | { cmd: 'setMuted'; trackId: string; muted: boolean }
  /** Composite: the whole layout; tracks that are not in it are not shown. `background`: default as it is. */
  | { cmd: 'layout'; tiles: Tile[]; background?: 'black' | 'white' }
  /** Composite: ask the encoder for a keyframe. */
  | { cmd: 'keyFrame' }
  /** A page: black and silent in place of what it shows, or that again. */
  | { cmd: 'hide'; hidden: boolean }
  /** The main tap, where `init` asked for none: muxed, from now on. */
  | { cmd: 'openTap' }
  /** Least time between two chunk cuts (0: cut at every keyframe). */
  | { cmd: 'chunking'; minDurationNs: number }
  /** Every element's factory name and class, to prove what runs. */
  | { cmd: 'describe' }
  | { cmd: 'ping' }
  /** EOS; answered at once, `eos` follows when the last chunk is closed. */
  | { cmd: 'stop' };

export type CommandName = Command['cmd'];

/** Payload of each command's answer. */
export interface CommandResults {
  init: Record<string, never>;
  start: Record<string, never>;
  bind: { port: number };
  connect: Record<string, never>;
  disconnect: Record<string, never>;
  setMuted: Record<string, never>;
  layout: Record<string, never>;
  keyFrame: Record<string, never>;
  hide: Record<string, never>;
  openTap: Record<string, never>;
  chunking: Record<string, never>;
  describe: { elements: { name: string; factory: string; klass: string }[] };
  ping: { rssBytes: number };
  stop: Record<string, never>;
}

export type CommandLine = Command & { id: number };

export type AnswerLine = { id: number; ok: unknown } | { id: number; error: string };

export type PipelineEvent =
  | { event: 'ready'; pid: number }
  /** A chunk is complete on disk. `startNs`: running time of its first buffer on the egress clock. */
  | { event: 'chunk'; file: string; index: number; startNs: number; durationNs: number }
  /** First media of a track arrived, or its caps changed. */
  | {
      event: 'trackFormat';
      trackId: string;
      width?: number;
      height?: number;
      framerate?: number;
      channels?: number;
      rate?: number;
    }
  /** No RTP for two seconds although the track is not muted, or RTP again. */
  | { event: 'trackFlow'; trackId: string; flowing: boolean }
  /** A track's receiver failed; the pipeline goes on without it. */
  | { event: 'trackError'; trackId: string; message: string }
  /** Sound of a track in a composite with `levels`, loud enough for a voice. `rms`: dB of full scale, about 3 a second. */
  | { event: 'trackLevel'; trackId: string; rms: number }
  /**
   * What the publisher's clock showed at egress-clock zero, as the track is put into the recording: ns since 1900 (RFC
   * 3550, 4), as text, for it does not fit a double. Again whenever it is known better.
   */
  | { event: 'trackClock'; trackId: string; atZeroNs: string }
  /** Lip-sync correction in force for the track. */
  | { event: 'trackSync'; trackId: string; offsetNs: number }
  | { event: 'warning'; message: string }
  /** The pipeline cannot go on; the process exits with code 1 after this line. */
  | { event: 'error'; message: string; element?: string }
  | { event: 'eos' };
