/** Messages that wait until the stream they belong to is accepted. Bounded. */
import { RtmpError } from './errors.ts';
import type { Message } from './message.ts';

/** What a message costs besides its payload. */
const OVERHEAD = 256;

export class HeldMessages {
  readonly #maxBytes: number;
  #messages: Message[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws RtmpError when it is too much */
  hold(message: Message): void {
    this.#bytes += message.payload.length + OVERHEAD;
    if (this.#bytes > this.#maxBytes) throw new RtmpError('too much was sent before the stream was accepted');
    this.#messages.push(message);
  }

  /** All of them, in order; none are held any more. */
  release(): Message[] {
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    return messages;
  }
}
