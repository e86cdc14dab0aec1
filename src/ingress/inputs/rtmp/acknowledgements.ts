/** Counts what comes, and says when the sender wants to hear of it (RTMP 1.0, sections 5.4.3 and 5.4.4). */
import { controlMessage, MESSAGE } from './message.ts';

export class Acknowledgements {
  #received = 0;
  #acknowledged = 0;
  /** Bytes after which the sender wants one; 0: it does not. */
  #window = 0;

  get receivedBytes(): number {
    return this.#received;
  }

  count(bytes: number): void {
    this.#received += bytes;
  }

  /** Window Acknowledgement Size, the message's body. */
  setWindow(payload: Buffer): void {
    this.#window = payload.length < 4 ? 0 : payload.readUInt32BE(0);
  }

  /** The acknowledgement that is due. Asked once a read it is at most one a read, however small the window. */
  due(): Buffer | undefined {
    if (this.#window === 0 || this.#received - this.#acknowledged < this.#window) return undefined;
    this.#acknowledged = this.#received;
    return controlMessage(MESSAGE.acknowledgement, this.#received);
  }
}
