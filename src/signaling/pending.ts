/** Sessions whose media connection is not up yet: each costs a transport, and whoever has a token may begin any number. */
import { SignalingError } from './errors.ts';

export class PendingSessions {
  readonly #max: number;
  #count = 0;

  /** @param max at once */
  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return this.#count;
  }

  /** @returns what is called when the session is connected, or over. @throws SignalingError 503 */
  enter(): () => void {
    if (this.#count >= this.#max) {
      throw new SignalingError(503, 'too many sessions are waiting for their media connection; try again');
    }
    this.#count++;
    let held = true;
    return () => {
      if (held) this.#count--;
      held = false;
    };
  }
}
