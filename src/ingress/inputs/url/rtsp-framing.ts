/** One direction of an RTSP connection (RFC 2326): messages and, between them, interleaved media. Pure. */

/** Something was said that is not let through. */
export class RtspRefusal extends Error {
  override readonly name = 'RtspRefusal';
}

const DOLLAR = 0x24;
const MAX_HEAD = 64 * 1024;
const MAX_BODY = 1024 * 1024;

/** Takes bytes as they come, and gives on media and bodies as they are and heads as `onHead` makes them. */
export class RtspFraming {
  readonly #who: string;
  readonly #onHead: (head: string) => string | undefined;
  #waiting: Buffer = Buffer.alloc(0);
  /** Bytes of a frame or body that are still to come. */
  #left = 0;
  /** They belong to a head that was kept back. */
  #dropping = false;

  /**
   * @param who who speaks, for messages
   * @param onHead a message's first lines, without the empty one; undefined keeps the message back, body and all
   */
  constructor(who: string, onHead: (head: string) => string | undefined) {
    this.#who = who;
    this.#onHead = onHead;
  }

  /** @throws RtspRefusal, and what `onHead` throws */
  push(bytes: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let rest = this.#waiting.length > 0 ? Buffer.concat([this.#waiting, bytes]) : bytes;
    while (rest.length > 0) {
      if (this.#left > 0) {
        const passed = rest.subarray(0, this.#left);
        if (!this.#dropping) out.push(passed);
        this.#left -= passed.length;
        rest = rest.subarray(passed.length);
      } else if (rest[0] === DOLLAR) {
        if (rest.length < 4) break;
        this.#left = 4 + rest.readUInt16BE(2);
        this.#dropping = false;
      } else {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) {
          if (rest.length > MAX_HEAD) throw new RtspRefusal(`${this.#who} sent an endless header`);
          break;
        }
        const head = rest.subarray(0, end).toString('latin1');
        rest = rest.subarray(end + 4);
        this.#left = this.#bodyLength(head);
        const given = this.#onHead(head);
        this.#dropping = given === undefined;
        if (given !== undefined) out.push(Buffer.from(`${given}\r\n\r\n`, 'latin1'));
      }
    }
    this.#waiting = Buffer.from(rest);
    return out;
  }

  #bodyLength(head: string): number {
    const length = Number(headerOf(head, 'Content-Length') ?? 0);
    if (length > MAX_BODY) throw new RtspRefusal(`${this.#who} sent a body of ${length} bytes`);
    return Number.isInteger(length) && length > 0 ? length : 0;
  }
}

/** A header's value; undefined without it. */
export function headerOf(head: string, name: string): string | undefined {
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'im').exec(head)?.[1];
}
