/** What the content analyser is asked and what it answers. Times are seconds from the file's start unless named. */
import type { Rect } from '../../../pipelines/publisher/picture.ts';
import type { ColorName, Rgb } from '../../../pipelines/publisher/signal.ts';
import type { ProbeResult } from './ffprobe.ts';

export type { ColorName, Rect, Rgb };

/** A participant to look and listen for. */
export interface TileSpec {
  name: string;
  color: ColorName;
  /** Hz; by default the colour's own. */
  pitch?: number;
  /**
   * Where the participant's whole picture is, in the file's pixels, black bars left out (see `fitPicture`);
   * by default the whole frame. A list for a layout that changes: each from its time to the next one's.
   */
  region?: Rect | { from: number; region: Rect }[];
  /** The publisher's, not the file's (default 30). */
  fps?: number;
  /** Look only here, e.g. while the participant was in the room and not muted (default: the whole file). */
  from?: number;
  to?: number;
}

export interface AnalyseOptions {
  tiles: TileSpec[];
  /** What to listen to (default: all channels mixed). */
  channel?: 'left' | 'right';
  /** A picture without change for longer is a frozen stretch (default 200 ms). */
  frozenMs?: number;
  /** A black picture for longer is a black stretch (default 100 ms). */
  blackMs?: number;
  /** Sound below −60 dBFS for longer is a silent stretch (default 200 ms). */
  silenceMs?: number;
}

/** From, to; seconds. */
export interface Stretch {
  from: number;
  to: number;
}

/** How far apart flash and beep are; ms, positive: the sound is late. */
export interface OffsetStats {
  /** Seconds measured. */
  count: number;
  /** Median, signed. */
  p50: number;
  /** 95th percentile of the absolute value. */
  p95: number;
  /** Largest absolute value. */
  max: number;
}

/** One frame's reading of one tile. */
export interface TileFrame {
  time: number;
  /** The frame counter, or null when no barcode could be read. */
  counter: number | null;
  flash: boolean;
  color: Rgb;
}

export interface TileReport {
  name: string;
  /** Every frame within the participant's time, for checks of a test's own. */
  frames: TileFrame[];
  /** Frames whose barcode was read, and those whose was not. */
  read: number;
  unreadable: number;
  first: number | null;
  last: number | null;
  /** Different counters seen / counters between first and last, 0–1. */
  share: number;
  inOrder: boolean;
  /** Counters between first and last that are not there. */
  missing: number[];
  /** Frames that show the same counter as the one before. */
  held: number;
  /** Longest time from one new counter to the next. */
  longestGapMs: number;
  /** Where `longestGapMs` is. */
  longestGapAt: number | null;
  flashes: number[];
  beeps: number[];
  /** Seconds of the participant's time in which a beep was heard / seconds with a beep due, 0–1. */
  beepShare: number;
  /** From what is seen: the first lit frame. Quantised to the file's frames. */
  avOffset: OffsetStats;
  /** From the counters around each second: independent of which single frame was dropped or held. */
  avOffsetByCounter: OffsetStats;
  /** Where the participant's quiet hum is not heard; null when it was never heard. */
  soundGaps: Stretch[] | null;
  /** Mean background, the colour it is closest to, how far from the expected one (0–441), share of frames with it. */
  color: { rgb: Rgb; closest: ColorName | 'black'; distance: number; share: number };
}

export interface VideoReport {
  codec: string;
  profile: string | undefined;
  width: number;
  height: number;
  frames: number;
  /** Frames over the time they span. */
  fps: number;
  firstTime: number;
  lastTime: number;
  /** Longest time between two frames. */
  maxGapMs: number;
  maxGapAt: number;
  /** Every timestamp later than the one before. */
  monotonic: boolean;
  black: Stretch[];
  frozen: Stretch[];
}

export interface AudioReport {
  codec: string;
  profile: string | undefined;
  sampleRate: number;
  channels: number;
  firstTime: number;
  lastTime: number;
  /** Holes in the timestamps. */
  gaps: Stretch[];
  monotonic: boolean;
  silence: Stretch[];
  /** Loudest sample, 0–1. */
  peak: number;
}

export interface ContentReport {
  file: ProbeResult;
  /** As the container says; seconds. */
  duration: number;
  video: VideoReport | null;
  audio: AudioReport | null;
  tiles: TileReport[];
  /** What the decoders complained about; empty for a sound file. */
  decodeErrors: string[];
}
