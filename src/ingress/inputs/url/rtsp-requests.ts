/**
 * What FFmpeg asks of a camera, on its way there. FFmpeg knows neither the camera's path nor its password, so that no
 * list of processes shows them: both are put in here, and a request that the camera refuses for want of a password is
 * asked again with it. Pure.
 */
import { HttpAuth } from './http-auth.ts';
import type { Credentials } from './http-auth.ts';
import { RtspFraming, headerOf } from './rtsp-framing.ts';

export interface RtspRequestsOptions {
  /** How FFmpeg names the source, `rtsp://127.0.0.1:port/source`. */
  alias: string;
  /** What the camera is to be asked for instead. */
  url: string;
  /** Undefined: a refusal is FFmpeg's to see. */
  credentials: Credentials | undefined;
  /** Sends what is asked again to the camera. */
  send: (bytes: Buffer) => void;
}

interface Asked {
  /** As FFmpeg sent it, with the camera's URL. */
  head: string;
  /** FFmpeg's number. */
  cseq: string;
  again: boolean;
}

/** Requests that were never answered are forgotten, the oldest first. */
const MAX_OPEN = 100;

export class RtspRequests {
  readonly #options: RtspRequestsOptions;
  readonly #auth: HttpAuth | undefined;
  readonly #framing = new RtspFraming('FFmpeg', (head) => this.#asked(head));
  /** By the number that the camera sees: one that is asked again has a new one. */
  readonly #open = new Map<number, Asked>();
  #last = 0;

  constructor(options: RtspRequestsOptions) {
    this.#options = options;
    this.#auth = options.credentials && new HttpAuth(options.credentials);
  }

  /** FFmpeg's bytes, as the camera is to get them. @throws RtspRefusal */
  push(bytes: Buffer): Buffer[] {
    return this.#framing.push(bytes);
  }

  /** The camera's answer as FFmpeg is to get it; undefined: the request has been sent again. */
  answered(head: string): string | undefined {
    const number = Number(headerOf(head, 'CSeq'));
    const asked = this.#open.get(number);
    if (!asked || !/^\s*RTSP\//.test(head)) return head;
    this.#open.delete(number);
    if (/^\s*RTSP\/\d\.\d\s+401/.test(head) && !asked.again && this.#auth) {
      const challenges = [...head.matchAll(/^WWW-Authenticate:(.*)$/gim)].map(([, value = '']) => value);
      if (this.#auth.challenged(challenges)) {
        const again = this.#numbered({ ...asked, again: true });
        this.#options.send(Buffer.from(`${again}\r\n\r\n`, 'latin1'));
        return undefined;
      }
    }
    return withHeader(head, 'CSeq', asked.cseq);
  }

  #asked(head: string): string {
    // FFmpeg answers what a camera asks, too.
    if (head.startsWith('RTSP/')) return head;
    const { alias, url } = this.#options;
    const [, method = '', uri = '', rest = ''] = /^(\S+) (\S+)( [\s\S]*)$/.exec(head) ?? [];
    if (method === '') return head;
    const real = uri.startsWith(alias) ? url + uri.slice(alias.length) : uri;
    const cseq = headerOf(head, 'CSeq') ?? '';
    return this.#numbered({ head: `${method} ${real}${rest}`, cseq, again: false });
  }

  #numbered(asked: Asked): string {
    this.#last += 1;
    this.#open.set(this.#last, asked);
    const oldest = this.#open.keys().next().value;
    if (this.#open.size > MAX_OPEN && oldest !== undefined) this.#open.delete(oldest);
    const [method = '', uri = ''] = asked.head.split(' ');
    const authorization = this.#auth?.authorization(method, uri);
    const head = withHeader(asked.head, 'CSeq', String(this.#last));
    return authorization === undefined ? head : withHeader(head, 'Authorization', authorization);
  }
}

function withHeader(head: string, name: string, value: string): string {
  const lines = head.split('\r\n').filter((line) => !new RegExp(`^${name}:`, 'i').test(line));
  // After the first line, before what is only said once.
  return [lines[0], `${name}: ${value}`, ...lines.slice(1)].join('\r\n');
}
