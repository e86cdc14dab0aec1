/**
 * What the Node side and the test publisher (gjs) say to each other: JSON lines, commands on the program's
 * stdin, events on its stdout. Only types. End of stdin ends the program.
 */
import type { ColorName } from './signal.ts';

export type VideoCodec = 'h264' | 'vp8' | 'vp9';
export type AudioCodec = 'opus' | 'pcmu';
export type H264Profile = 'constrained-baseline' | 'main' | 'high';

export interface PublisherVideo {
  codec: VideoCodec;
  /** H.264 only. */
  profile: H264Profile;
  /** Pixels, even. */
  width: number;
  height: number;
  /** Whole frames per second. */
  fps: number;
  /** kbit/s. */
  bitrate: number;
  /** Seconds between keyframes nobody asked for. */
  gopSeconds: number;
  /** Slices in a picture (H.264), 1 for whole pictures. */
  slices: number;
  /** Three layers of a quarter, a half and the whole size: rids `q`, `h`, `f`. The bit rate is the whole's. */
  simulcast: boolean;
}

export interface PublisherSettings {
  color: ColorName;
  /** Hz. */
  pitch: number;
  video: PublisherVideo | null;
  audio: AudioCodec | null;
  /** IP addresses of this machine that ICE offers; empty: all but loopback. */
  addresses: string[];
}

export type PublisherCommand =
  | { cmd: 'init'; settings: PublisherSettings }
  /** The SDP answer to the offer; media flows once ICE and DTLS are through. */
  | { cmd: 'answer'; sdp: string }
  /** Stops sending a track; its clock runs on. */
  | { cmd: 'mute'; kind: 'audio' | 'video'; muted: boolean }
  /** New size from the next frame on. */
  | { cmd: 'resolution'; width: number; height: number }
  | { cmd: 'stop' };

export type PublisherEvent =
  | { event: 'offer'; sdp: string }
  /** ICE and DTLS are through; frame 0 leaves now. */
  | { event: 'connected' }
  /** Once a second: frames and 20 ms chunks the clock has come to, and those left out because it was late. */
  | { event: 'progress'; frames: number; chunks: number; skipped: number }
  /** The peer connection's state once it is past `connected`: `disconnected`, `failed`, `closed`. */
  | { event: 'state'; state: string }
  /** The program cannot go on and ends with code 1. */
  | { event: 'error'; message: string }
  | { event: 'stopped' };
