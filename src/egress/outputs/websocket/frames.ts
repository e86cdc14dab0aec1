/** What waits for a WebSocket: samples in frames of 20 ms, and what is to be said between them. */

/** s16le, 48 kHz, mono. */
const BYTES_PER_MS = 96;
const FRAME_MS = 20;
export const FRAME_BYTES = FRAME_MS * BYTES_PER_MS;

export class FrameQueue {
  readonly #maxFrames: number;
  #items: (Buffer | string)[] = [];
  #frames = 0;
  #rest: Buffer = Buffer.alloc(0);
  #drops = 0;

  /** @param maxMs sound that may wait; what is older is let go of */
  constructor(maxMs: number) {
    this.#maxFrames = Math.max(1, Math.round(maxMs / FRAME_MS));
  }

  /** Frames that were let go of. */
  get drops(): number {
    return this.#drops;
  }

  get empty(): boolean {
    return this.#items.length === 0;
  }

  /** Takes the next samples, cut anywhere. */
  push(data: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data;
    let at = 0;
    for (; at + FRAME_BYTES <= bytes.length; at += FRAME_BYTES) {
      this.#items.push(bytes.subarray(at, at + FRAME_BYTES));
      this.#frames++;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
    while (this.#frames > this.#maxFrames) {
      this.#items.splice(
        this.#items.findIndex((item) => typeof item !== 'string'),
        1,
      );
      this.#frames--;
      this.#drops++;
    }
  }

  /** The samples begin anew: half a sample that was left must not shift them. */
  realign(): void {
    this.#rest = Buffer.alloc(0);
  }

  /** To be sent as text after the samples so far. */
  say(text: string): void {
    this.#items.push(text);
  }

  /** For a listener that knows nothing yet: what was to be said to another one is replaced. */
  begin(text: string | undefined): void {
    this.#items = this.#items.filter((item) => typeof item !== 'string');
    if (text !== undefined) this.#items.unshift(text);
  }

  shift(): Buffer | string | undefined {
    const item = this.#items.shift();
    if (item !== undefined && typeof item !== 'string') this.#frames--;
    return item;
  }
}
