/** Decodes a file's sound onto its own timeline: what is missing in the timestamps is silence in the samples. */
import type { Stretch } from './types.ts';
import type { StreamReader } from './decode.ts';
import { type FrameTime, parseFrameTimes } from './frame-times.ts';

/** Timestamps are rounded (1/90000 s, 1 ms in Matroska): a difference up to this is not a hole. */
const TOLERANCE_SECONDS = 0.003;

export interface AudioTimeline {
  /** Seconds, as in the file. */
  firstTime: number;
  lastTime: number;
  gaps: Stretch[];
  monotonic: boolean;
}

/** Calls `hear` with mono samples (−1 to 1) that follow each other without a hole from the first one's time on. */
export class AudioReader implements StreamReader {
  readonly #rate: number;
  readonly #channel: 'left' | 'right' | undefined;
  readonly #frames: FrameTime[] = [];
  readonly #placer: Placer;
  #header = '';
  #listing = '';

  /** @param channel one side instead of the mean of all */
  constructor(rate: number, channel: 'left' | 'right' | undefined, hear: (samples: Float32Array) => void) {
    this.#rate = rate;
    this.#channel = channel;
    this.#placer = new Placer(this.#frames, rate, hear);
  }

  readonly outputOf = (media: string, listing: string): string[] => {
    const mono = this.#channel
      ? `pan=mono|c0=${this.#channel === 'left' ? 'FL' : 'FR'}`
      : 'aformat=channel_layouts=mono';
    return [
      ...['-map', '0:a:0', '-af', `${mono},aformat=sample_fmts=flt:sample_rates=${this.#rate}`],
      ...['-c:a', 'pcm_f32le', '-f', 'tee', `[f=f32le]${media}|[f=framecrc]${listing}`],
    ];
  };

  // Samples and their frames' times come by pipes of their own: whichever is first waits for the other.
  readonly take = (chunk: Buffer): void => this.#placer.push(chunk);

  readonly list = (text: string): void => {
    this.#listing += text;
    const whole = this.#listing.lastIndexOf('\n') + 1;
    if (whole === 0) return;
    const lines = this.#listing.slice(0, whole);
    this.#listing = this.#listing.slice(whole);
    // What is said before the first frame goes for all of them.
    if (this.#frames.length === 0) this.#header += lines.replace(/^[^#].*\n/gm, '');
    this.#frames.push(...parseFrameTimes(this.#header + lines));
    this.#placer.place();
  };

  /** Once all has come: null without a sample. @throws Error when there are samples without a time */
  timeline(): AudioTimeline | null {
    const [first] = this.#frames;
    const last = this.#frames.at(-1);
    if (!first || !last) return null;
    this.#placer.end();
    return { firstTime: first.time, lastTime: last.time + last.duration, ...holes(this.#frames) };
  }
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
  #waiting: Buffer[] = [];

  constructor(frames: readonly FrameTime[], rate: number, hear: (samples: Float32Array) => void) {
    this.#frames = frames;
    this.#rate = rate;
    this.#hear = hear;
  }

  push(chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.place();
  }

  /** Hands on what has both come and a time. */
  place(): void {
    if (this.#leftInFrame === 0 && this.#frame === this.#frames.length) return;
    const bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting);
    const count = Math.floor(bytes.length / 4);
    // A piece need not begin where a float may lie.
    const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + count * 4));
    let offset = 0;
    while (offset < count && (this.#leftInFrame > 0 || this.#frame < this.#frames.length)) {
      if (this.#leftInFrame === 0) this.#nextFrame();
      const length = Math.min(this.#leftInFrame, count - offset);
      const dropped = Math.min(this.#overlap, length);
      this.#emit(samples.subarray(offset + dropped, offset + length));
      this.#overlap -= dropped;
      this.#leftInFrame -= length;
      offset += length;
    }
    const rest = bytes.subarray(offset * 4);
    this.#waiting = rest.length > 0 ? [rest] : [];
  }

  /** @throws Error when there are samples without a time */
  end(): void {
    if (this.#waiting.some(({ length }) => length >= 4))
      throw new Error('there are more samples than frames');
  }

  #nextFrame(): void {
    const frame = this.#frames[this.#frame++]!;
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
