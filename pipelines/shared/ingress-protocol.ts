/**
 * What the worker (Node) and the ingress program (gjs) say to each other: JSON lines, as in protocol.ts (same
 * envelope, same watch on the parent). Only types and constants: both sides compile it.
 *
 * Order of one run: `init`, `bind` (once for each kind of output; for an `rtp` input `bindInput` too), then the worker
 * publishes over the bridge, `connect` (where to send), `start`, and the source's bytes go to {@link INPUT_FD}.
 */
import type { RtpCodec, SrtpKey } from './protocol.ts';

/** File descriptor the source's bytes are read from. */
export const INPUT_FD = 3;

export type InputContainer = 'flv' | 'matroska';

/**
 * What is known of what the pipe will hold. Optional: a stream nobody described is found out about by `decodebin`,
 * whose H.264 decoder holds some frames back, and is not rotated (no demuxer tells the rotation).
 */
export interface InputStreams {
  /**
   * Codecs as FFmpeg names them. The picture is shown turned clockwise by `rotation` degrees. `framerate` is the
   * source's, frames a second: where it is known, frames above the output's rate are left out.
   */
  video?: { codec: string; rotation: 0 | 90 | 180 | 270; framerate?: number };
  audio?: { codec: string };
}

/** One simulcast layer, smallest first in every list. */
export interface LayerSettings {
  /** Pixels, even. */
  width: number;
  height: number;
  /** bit/s. */
  bitrate: number;
  ssrc: number;
}

export type VideoOutput =
  /** The coded picture is sent as it is. */
  | { mode: 'copy'; codec: 'h264' | 'vp8'; payloadType: number; ssrc: number }
  | {
      mode: 'encode';
      codec: 'h264' | 'vp8';
      payloadType: number;
      /** Frames a second at most; a source with fewer keeps its own. */
      framerate: number;
      layers: LayerSettings[];
    };

export type AudioOutput =
  | { mode: 'copy'; codec: 'opus'; payloadType: number; ssrc: number }
  | {
      mode: 'encode';
      codec: 'opus';
      payloadType: number;
      ssrc: number;
      /** bit/s. */
      bitrate: number;
      channels: 1 | 2;
      dtx: boolean;
    };

export interface IngressInit {
  input: ({ type: 'pipe'; container: InputContainer } & InputStreams) | { type: 'rtp' };
  /**
   * `arrival`: media is sent on as it comes (live sources). `timestamps`: at its own pace, whatever comes early waits
   * in the pipe (files, HLS).
   */
  pacing: 'arrival' | 'timestamps';
  video: VideoOutput | null;
  audio: AudioOutput | null;
  /** RTCP CNAME of every output. */
  cname: string;
}

export type IngressCommand =
  | ({ cmd: 'init' } & IngressInit)
  /** Bind the socket an output is sent from (RTCP comes back to it). All layers share one. */
  | { cmd: 'bind'; kind: 'audio' | 'video'; ip: string; portMin?: number; portMax?: number }
  /** Where an output goes. `local` is what we send with, `remote` what the SFU answers with. */
  | {
      cmd: 'connect';
      kind: 'audio' | 'video';
      remote: { ip: string; port: number };
      srtp?: { local: SrtpKey; remote: SrtpKey };
    }
  /** `rtp` input: bind the socket one kind is received on. */
  | { cmd: 'bindInput'; kind: 'audio' | 'video'; ip: string; portMin?: number; portMax?: number }
  /** `rtp` input: what arrives there, before `start`. */
  | {
      cmd: 'connectInput';
      kind: 'audio' | 'video';
      codec: RtpCodec;
      ssrc: number;
      remote: { ip: string; port: number };
      srtp?: { local: SrtpKey; remote: SrtpKey };
    }
  | { cmd: 'start' }
  /** New sizes of the layers, as many as in `init`: the source's own size has changed. */
  | { cmd: 'layerSizes'; sizes: { width: number; height: number }[] }
  /** A keyframe of every layer at once (PLI over RTCP does this by itself). Nothing happens where video is copied. */
  | { cmd: 'keyFrame' }
  | { cmd: 'describe' }
  | { cmd: 'ping' }
  /** Ends at once; what is in the pipe is not played to its end. */
  | { cmd: 'stop' };

export type IngressCommandName = IngressCommand['cmd'];

export interface IngressCommandResults {
  init: Record<string, never>;
  bind: { port: number };
  connect: Record<string, never>;
  bindInput: { port: number };
  connectInput: Record<string, never>;
  start: Record<string, never>;
  layerSizes: Record<string, never>;
  keyFrame: Record<string, never>;
  describe: { elements: { name: string; factory: string; klass: string }[] };
  ping: { rssBytes: number };
  stop: Record<string, never>;
}

export type IngressEvent =
  | { event: 'ready'; pid: number }
  /** What the source holds, as decoded or parsed; again when it changes. Sizes are after rotation. */
  | {
      event: 'inputFormat';
      kind: 'audio' | 'video';
      width?: number;
      height?: number;
      /** Frames a second as the source says; absent when it says nothing. */
      framerate?: number;
      channels?: number;
      rate?: number;
    }
  /** The first packet of a kind has been sent. */
  | { event: 'flowing'; kind: 'audio' | 'video' }
  | { event: 'warning'; message: string }
  /** The pipeline cannot go on; the process exits with code 1 after this line. */
  | { event: 'error'; message: string; element?: string }
  /** The input has ended and everything of it has been sent. */
  | { event: 'eos' };

export type IngressCommandLine = IngressCommand & { id: number };
