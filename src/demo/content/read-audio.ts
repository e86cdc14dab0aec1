/** Decodes a file's sound onto its own timeline: what is missing in the timestamps is silence in the samples. */
import type { Stretch } from './types.ts';
import { streamTool } from './tool.ts';
import { type FrameTime, parseFrameTimes } from './frame-times.ts';
import { errorLines } from './read-video.ts';

/** Timestamps are rounded (1/90000 s, 1 ms in Matroska): a difference up to this is not a hole. */
const TOLERANCE_SECONDS = 0.003;

export interface AudioTimeline {
  /** Seconds, as in the file. */
  firstTime: number;
  lastTime: number;
  gaps: Stretch[];
  monotonic: boolean;
  errors: string[];
}

/**
 * Calls `hear` with mono samples (−1 to 1) that follow each other without a hole from `firstTime` on.
 * @param channel one side instead of the mean of all
 */
export async function readAudio(
  input: string,
  rate: number,
  channel: 'left' | 'right' | undefined,
  hear: (samples: Float32Array) => void,
): Promise<AudioTimeline | null> {
  const pan = channel ? `pan=mono|c0=${channel === 'left' ? 'FL' : 'FR'}` : 'aformat=channel_layouts=mono';
  const arguments_ = (...output: string[]) => [
    ...['-v', 'error', '-nostdin', '-copyts', '-i', input, '-map', '0:a:0', '-vn', '-sn', '-dn'],
    ...['-af', `${pan},aformat=sample_fmts=flt:sample_rates=${rate}`, '-c:a', 'pcm_f32le', ...output],
  ];
  let listing = '';
  await streamTool('ffmpeg', arguments_('-f', 'framecrc', 'pipe:1'), {
    1: (chunk) => (listing += chunk.toString('latin1')),
  });
  const frames = parseFrameTimes(listing);
  const first = frames[0];
  if (!first) return null;
  const placer = new Placer(frames, rate, hear);
  const { stderr } = await streamTool('ffmpeg', arguments_('-f', 'f32le', 'pipe:1'), {
    1: (chunk) => {
      placer.push(chunk);
    },
  });
  const last = frames[frames.length - 1]!;
  return {
    firstTime: first.time,
    lastTime: last.time + last.duration,
    ...holes(frames),
    errors: errorLines(stderr),
  };
}

/** Holes between frames, and whether every frame starts no earlier than the one before ends. Pure. */
export function holes(frames: readonly FrameTime[]): { gaps: Stretch[]; monotonic: boolean } {
  const gaps: Stretch[] = [];
  let monotonic = true;
  for (let i = 1; i < frames.length; i++) {
    const end = frames[i - 1]!.time + frames[i - 1]!.duration;
    const { time } = frames[i]!;
    if (time - end > TOLERANCE_SECONDS) gaps.push({ from: end, to: time });
    if (end - time > TOLERANCE_SECONDS) monotonic = false;
  }
  return { gaps, monotonic };
}

/** Puts decoded samples where their frames' times say. */
class Placer {
  readonly #frames: readonly FrameTime[];
  readonly #rate: number;
  readonly #hear: (samples: Float32Array) => void;
  /** Samples handed on. */
  #position = 0;
  #frame = 0;
  #leftInFrame = 0;
  /** Samples to leave out because the frame before reached into this one. */
  #overlap = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(frames: readonly FrameTime[], rate: number, hear: (samples: Float32Array) => void) {
    this.#frames = frames;
    this.#rate = rate;
    this.#hear = hear;
  }

  push(chunk: Buffer): void {
    const bytes = this.#rest.length ? Buffer.concat([this.#rest, chunk]) : chunk;
    const count = Math.floor(bytes.length / 4);
    const samples = new Float32Array(count);
    for (let i = 0; i < count; i++) samples[i] = bytes.readFloatLE(i * 4);
    this.#rest = bytes.subarray(count * 4);
    for (let offset = 0; offset < count;) {
      if (this.#leftInFrame === 0) this.#nextFrame();
      const length = Math.min(this.#leftInFrame, count - offset);
      const dropped = Math.min(this.#overlap, length);
      this.#emit(samples.subarray(offset + dropped, offset + length));
      this.#overlap -= dropped;
      this.#leftInFrame -= length;
      offset += length;
    }
  }

  #nextFrame(): void {
    const frame = this.#frames[this.#frame++];
    if (!frame) throw new Error('the second decoding of the sound has more samples than the first');
    this.#leftInFrame = Math.round(frame.duration * this.#rate);
    const due = Math.round((frame.time - this.#frames[0]!.time) * this.#rate);
    const ahead = due - this.#position;
    if (ahead > TOLERANCE_SECONDS * this.#rate) this.#emit(new Float32Array(ahead));
    else if (-ahead > TOLERANCE_SECONDS * this.#rate) this.#overlap = -ahead;
  }

  #emit(samples: Float32Array): void {
    if (samples.length === 0) return;
    this.#position += samples.length;
    this.#hear(samples);
  }
}
