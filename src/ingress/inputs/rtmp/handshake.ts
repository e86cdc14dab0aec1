/**
 * The simple handshake (RTMP 1.0, section 5.2), server's side. Clients of the Flash kind send a digest in C1; answered
 * plainly, they go on plainly: the digest is only asked of servers that play.
 */
import { randomBytes } from 'node:crypto';
import { RtmpError } from './errors.ts';

const VERSION = 3;
const PART = 1536;

export class Handshake {
  readonly #parts = Buffer.alloc(1 + 2 * PART);
  readonly #send: (bytes: Buffer) => void;
  #length = 0;
  #answered = false;

  constructor(send: (bytes: Buffer) => void) {
    this.#send = send;
  }

  /**
   * Takes what is the handshake's of these bytes and answers.
   * @returns what follows the handshake; undefined while it is not over
   * @throws RtmpError when this is no RTMP
   */
  feed(data: Buffer): Buffer | undefined {
    const taken = data.copy(this.#parts, this.#length);
    if (this.#length === 0 && taken > 0) checkVersion(this.#parts[0] ?? 0);
    this.#length += taken;
    if (this.#length >= 1 + PART && !this.#answered) {
      this.#answered = true;
      this.#send(this.#answer(this.#parts.subarray(1, 1 + PART)));
    }
    // What C2 echoes is not checked, as nobody's servers do: some clients echo their own C1.
    return this.#length === this.#parts.length ? data.subarray(taken) : undefined;
  }

  /** S0, S1 (time 0, then zero: no digest) and S2, which echoes C1. */
  #answer(c1: Buffer): Buffer {
    const s1 = randomBytes(PART);
    s1.fill(0, 0, 8);
    return Buffer.concat([Buffer.from([VERSION]), s1, c1]);
  }
}

function checkVersion(version: number): void {
  if (version === VERSION) return;
  if (version === 0x16) throw new RtmpError('TLS was spoken on a port for RTMP without TLS');
  if (version >= 0x20) throw new RtmpError('this is no RTMP');
  if (version === 6) throw new RtmpError('RTMPE is not supported; use RTMPS or RTMP');
  throw new RtmpError(`RTMP version ${version} is not supported`);
}
