/**
 * The HTTP proxy that holds a web source to the guard: one source's, on loopback. Each request's host is resolved and
 * checked anew and connected to at exactly the checked address, so that neither a redirect, a playlist nor a name that
 * changes its mind leads elsewhere. CONNECT is refused: TLS is spoken here, see proxied-urls.ts. (With CONNECT FFmpeg
 * would need its `httpproxy` protocol, and a playlist that names `httpproxy://127.0.0.1/` makes it connect there.)
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { extname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';
import { sameSecret } from '../auth/same-secret.ts';
import { playlistText, reasonOf, rest } from './answers.ts';
import { GuardError } from './errors.ts';
import { plainHost } from './policy.ts';
import type { Guard } from './guard.ts';
import { isPlaylist, rewritePlaylist } from './playlist.ts';
import { ENTRY_HOST, proxiedUrl, realUrl } from './proxied-urls.ts';

export interface GuardProxyOptions {
  guard: Guard;
  /** The http(s) source; its user and password are given to its own origin only. */
  url: URL;
  logger: Logger;
  /** Takes certificates nobody vouches for; default false. */
  anyCertificate?: boolean;
  /** Until an answer's headers are there, ms; default 8000. */
  timeoutMs?: number;
}

export interface GuardProxy {
  /** For FFmpeg's `http_proxy`; holds a secret of this proxy. */
  readonly proxyUrl: string;
  /** What FFmpeg is to open: it names nothing of the source but the ending of its path. */
  readonly entryUrl: string;
  /** What went wrong last between us and the source: refused, not reached, a bad certificate. */
  readonly failure: GuardError | undefined;
  /** `live` while a media playlist that was read may still grow; undefined when none was read. */
  readonly playlist: 'live' | 'ended' | undefined;
  /** The longest segment a media playlist told of, seconds; 0 without one. */
  readonly targetSeconds: number;
  close(): Promise<void>;
}

const TIMEOUT_MS = 8000;
/** What is said to the source of what FFmpeg asks. */
const REQUEST_HEADERS = ['accept', 'authorization', 'cookie', 'range', 'referer', 'user-agent'] as const;
/** What belongs to one connection, not to what is sent over it (RFC 9110, 7.6.1). */
const HOP_HEADERS = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** @throws GuardError when the source's scheme is not http or https */
export async function startGuardProxy(options: GuardProxyOptions): Promise<GuardProxy> {
  const proxy = new SourceProxy(options);
  await proxy.listen();
  return proxy;
}

class SourceProxy implements GuardProxy {
  readonly entryUrl: string;
  failure: GuardError | undefined;
  targetSeconds = 0;
  readonly #options: GuardProxyOptions;
  readonly #server: Server;
  readonly #secret = randomBytes(18).toString('base64url');
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: 8 });
  readonly #https: HttpsAgent;
  readonly #playlists = new Map<string, 'live' | 'ended'>();
  readonly #closed = new AbortController();

  constructor(options: GuardProxyOptions) {
    this.#options = options;
    proxiedUrl(options.url);
    this.#https = new HttpsAgent({
      ...{ keepAlive: true, maxSockets: 8, rejectUnauthorized: options.anyCertificate !== true },
    });
    const ending = /^\.[a-z0-9]{1,5}$/i.exec(extname(options.url.pathname))?.[0] ?? '';
    this.entryUrl = `http://${ENTRY_HOST}/source${ending}`;
    this.#server = createServer({ requireHostHeader: false }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => this.#fail(response, error));
    });
    this.#server.on('connect', (_request, socket) => socket.end('HTTP/1.1 405 Method Not Allowed\r\n\r\n'));
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get proxyUrl(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed');
    return `http://ffmpeg:${this.#secret}@127.0.0.1:${address.port}`;
  }

  get playlist(): 'live' | 'ended' | undefined {
    const states = [...this.#playlists.values()];
    return states.includes('live') ? 'live' : states[0];
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#http.destroy();
    this.#https.destroy();
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.#knows(request.headers['proxy-authorization'])) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic realm="sluice"', 'content-length': 0 }).end();
      return;
    }
    const { method = '', url = '' } = request;
    if ((method !== 'GET' && method !== 'HEAD') || !URL.canParse(url)) {
      response.writeHead(400).end();
      return;
    }
    const asked = new URL(url);
    if (asked.hostname === ENTRY_HOST) {
      response.writeHead(302, { location: this.#write(this.#options.url), 'content-length': 0 }).end();
      return;
    }
    const target = realUrl(asked);
    const answer = await this.#ask(target, method, request);
    await this.#give(target, method, answer, response);
  }

  /** Each process gets a secret of its own: nobody else on this machine reads with this source's credentials. */
  #knows(header: string | undefined): boolean {
    const credentials = Buffer.from(`ffmpeg:${this.#secret}`).toString('base64');
    return sameSecret(header ?? '', `Basic ${credentials}`);
  }

  async #ask(target: URL, method: string, from: IncomingMessage): Promise<IncomingMessage> {
    const { guard, url, timeoutMs = TIMEOUT_MS } = this.#options;
    const name = plainHost(target.hostname);
    const address = await guard.resolve(name);
    const headers: OutgoingHttpHeaders = { host: target.host, 'accept-encoding': 'identity' };
    for (const header of REQUEST_HEADERS) {
      const value = from.headers[header];
      if (value !== undefined) headers[header] = value;
    }
    if (target.origin !== url.origin) delete headers.authorization;
    const tls = target.protocol === 'https:';
    const asking = (tls ? httpsRequest : httpRequest)({
      ...{ host: address, port: target.port || (tls ? 443 : 80), path: target.pathname + target.search },
      ...{ method, headers, agent: tls ? this.#https : this.#http, signal: this.#closed.signal },
      ...(tls && isIP(name) === 0 ? { servername: name } : {}),
    });
    // FFmpeg that has gone needs no answer.
    const gone = (): void => void asking.destroy();
    from.socket.once('close', gone);
    const timer = setTimeout(
      () => asking.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    try {
      asking.end();
      const [answer] = (await once(asking, 'response')) as [IncomingMessage];
      answer.once('close', () => from.socket.off('close', gone));
      return answer;
    } catch (cause) {
      from.socket.off('close', gone);
      throw new GuardError(`${name} cannot be read: ${reasonOf(cause)}`, { retry: true, cause });
    } finally {
      clearTimeout(timer);
      // What is torn down later is told by the answer.
      asking.on('error', () => undefined);
    }
  }

  async #give(target: URL, method: string, answer: IncomingMessage, response: ServerResponse): Promise<void> {
    const { statusCode: status = 502 } = answer;
    const headers = Object.fromEntries(
      Object.entries(answer.headers).filter(([name]) => !HOP_HEADERS.includes(name)),
    );
    if (status >= 300 && status < 400 && answer.headers.location !== undefined) {
      answer.resume();
      if (!URL.canParse(answer.headers.location, target.href)) {
        throw new GuardError('the source redirects to something that is not a URL');
      }
      headers.location = this.#write(new URL(answer.headers.location, target.href));
      delete headers['content-length'];
      response.writeHead(status, { ...headers, 'content-length': 0 }).end();
      return;
    }
    if (method === 'HEAD' || status >= 300) {
      answer.resume();
      response.writeHead(status, headers).end();
      return;
    }
    const chunks = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
    const first = await chunks.next();
    const head = first.done ? Buffer.alloc(0) : first.value;
    if (isPlaylist(head)) {
      const text = await playlistText(head, chunks);
      const playlist = rewritePlaylist(text, target, (url) => this.#write(url));
      if (playlist.kind !== 'master') this.#playlists.set(target.href, playlist.kind);
      this.targetSeconds = Math.max(this.targetSeconds, playlist.targetSeconds);
      const body = Buffer.from(playlist.text);
      response.writeHead(200, {
        'content-type': 'application/vnd.apple.mpegurl',
        'content-length': body.length,
      });
      response.end(body);
      return;
    }
    response.writeHead(status, headers);
    // Cut off on both sides alike: FFmpeg is to see that something is missing.
    await pipeline(rest(head, chunks), response).catch(() => response.destroy());
  }

  /** As FFmpeg is to ask for it; with the credentials where they belong, so that it can answer a Digest challenge. */
  #write(target: URL): string {
    const written = proxiedUrl(target);
    const { origin, username, password } = this.#options.url;
    const own = target.origin === origin;
    const proxied = new URL(written);
    proxied.username = own ? username : '';
    proxied.password = own ? password : '';
    proxied.hash = '';
    return proxied.href;
  }

  #fail(response: ServerResponse, error: unknown): void {
    if (this.#closed.signal.aborted) return void response.destroy();
    this.failure =
      error instanceof GuardError
        ? error
        : new GuardError(`the source cannot be read: ${reasonOf(error)}`, { retry: true });
    this.#options.logger.info({ reason: this.failure.message }, 'a source was not read');
    if (response.headersSent) return void response.destroy();
    response.writeHead(this.failure.retry ? 502 : 403, { 'content-length': 0 }).end();
  }
}
