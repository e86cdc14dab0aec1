/** What a camera sends on its RTSP connection: answers (RFC 2326) and, between them, interleaved media. Pure. */

/** The camera said something that is not let through. */
export class RtspRefusal extends Error {
  override readonly name = 'RtspRefusal';
}

const DOLLAR = 0x24;
const MAX_HEAD = 64 * 1024;
const MAX_BODY = 1024 * 1024;

/**
 * Takes the camera's bytes as they come and gives on what FFmpeg may see: redirects are refused, and media over UDP
 * comes from, and is answered to, no other address than the camera's.
 */
export class RtspAnswers {
  readonly #address: string;
  #waiting: Buffer = Buffer.alloc(0);
  /** Bytes of a frame or body that still go through as they are. */
  #through = 0;

  /** @param address the camera's, as it was checked */
  constructor(address: string) {
    this.#address = address;
  }

  /** @throws RtspRefusal */
  push(bytes: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let rest = this.#waiting.length > 0 ? Buffer.concat([this.#waiting, bytes]) : bytes;
    while (rest.length > 0) {
      if (this.#through > 0) {
        const passed = rest.subarray(0, this.#through);
        out.push(passed);
        this.#through -= passed.length;
        rest = rest.subarray(passed.length);
      } else if (rest[0] === DOLLAR) {
        if (rest.length < 4) break;
        this.#through = 4 + rest.readUInt16BE(2);
      } else {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) {
          if (rest.length > MAX_HEAD) throw new RtspRefusal('the camera sent an endless header');
          break;
        }
        const head = rest.subarray(0, end).toString('latin1');
        rest = rest.subarray(end + 4);
        out.push(Buffer.from(`${this.#checked(head)}\r\n\r\n`, 'latin1'));
        this.#through = bodyLength(head);
      }
    }
    this.#waiting = Buffer.from(rest);
    return out;
  }

  #checked(head: string): string {
    const status = /^\s*RTSP\/\d\.\d\s+(\d{3})/.exec(head)?.[1];
    if (status?.startsWith('3')) {
      throw new RtspRefusal(`the camera redirects (${status}): pull from where it leads to instead`);
    }
    return head.replace(/^(Transport:[ \t]*)(.*)$/gim, (_whole, name: string, value: string) => {
      const parts = value.split(';').filter((part) => !/^\s*source=/i.test(part));
      return `${name}${[...parts, `source=${this.#address}`].join(';')}`;
    });
  }
}

function bodyLength(head: string): number {
  const length = Number(/^Content-Length:[ \t]*(\d+)[ \t]*$/im.exec(head)?.[1] ?? 0);
  if (length > MAX_BODY) throw new RtspRefusal(`the camera sent an answer of ${length} bytes`);
  return length;
}
