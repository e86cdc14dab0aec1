/** RTMP's timestamps of 32 bits as a number that goes on growing (RTMP 1.0, section 3: differences are modulo 2^32). */

const WRAP = 2 ** 32;

export class TimestampUnwrapper {
  #last: number | undefined;

  /** A timestamp of audio or video, ms. Steps back (jumps, reordering) stay steps back, but never below 0. */
  media(timestamp: number): number {
    return (this.#last = this.other(timestamp));
  }

  /** One that the timeline does not depend on: data, which many senders leave at 0. */
  other(timestamp: number): number {
    if (this.#last === undefined) return timestamp;
    const difference = (timestamp - (this.#last % WRAP)) | 0;
    return Math.max(0, this.#last + difference);
  }
}
