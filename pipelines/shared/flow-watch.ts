/** Tells from a growing packet count whether a track flows (pure). */

/** Silence after which an unmuted track counts as stalled. */
export const STALL_MS = 2000;

export class FlowWatch {
  #packets = 0;
  #lastMs: number;
  #muted: boolean;
  #flowing = false;
  #reportedStall = false;

  constructor(nowMs: number, muted: boolean) {
    this.#lastMs = nowMs;
    this.#muted = muted;
    // Nothing of it can be seen before it comes.
    this.#flowing = !muted;
  }

  /** Whether the track is to be seen: it is not muted, and packets came lately. */
  get flowing(): boolean {
    return this.#flowing && !this.#muted;
  }

  get muted(): boolean {
    return this.#muted;
  }

  /** After an unmute the track flows again with its next packet, not before. */
  setMuted(muted: boolean, nowMs: number): void {
    if (muted === this.#muted) return;
    this.#muted = muted;
    this.#flowing = false;
    this.#lastMs = nowMs;
  }

  /**
   * Takes in the packet count.
   * @returns the flow to report, if it changed: false after {@link STALL_MS} without a packet of an unmuted
   * track, true when packets come again after that
   */
  update(packets: number, nowMs: number): boolean | undefined {
    if (packets !== this.#packets) {
      this.#packets = packets;
      this.#lastMs = nowMs;
      // The publisher may send a little after it has said that it mutes.
      this.#flowing = !this.#muted;
      if (this.#reportedStall && !this.#muted) {
        this.#reportedStall = false;
        return true;
      }
      return undefined;
    }
    if (this.#muted || nowMs - this.#lastMs < STALL_MS) return undefined;
    this.#flowing = false;
    if (this.#reportedStall) return undefined;
    this.#reportedStall = true;
    return false;
  }
}
