/**
 * Between FFmpeg and a camera: FFmpeg connects to loopback, and the relay to the checked address, over TLS for rtsps.
 * So FFmpeg follows no redirect and no name, and its command line shows no path, user or password.
 */
import { once } from 'node:events';
import { connect as connectTcp, createServer, isIP } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Logger } from 'pino';
import { InputError } from '../types.ts';
import type { Guard } from '../../../outbound/index.ts';
import { GuardError } from '../../../outbound/index.ts';
import type { Credentials } from './http-auth.ts';
import { RtspAnswers, RtspRefusal } from './rtsp-answers.ts';
import { RtspRequests } from './rtsp-requests.ts';

export interface RtspRelayOptions {
  guard: Guard;
  host: string;
  port: number;
  tls: 'none' | 'trusted' | 'any';
  /** The camera's URL without credentials: what it is asked for when FFmpeg asks for {@link RtspRelay.url}. */
  url: string;
  /** What the camera may be told when it wants a password. */
  credentials: Credentials | undefined;
  logger: Logger;
}

const CONNECT_MS = 5000;

export class RtspRelay {
  readonly #options: RtspRelayOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #failure: InputError | undefined;
  #closed = false;

  private constructor(options: RtspRelayOptions) {
    this.#options = options;
    this.#server = createServer((client) => {
      this.#own(client);
      this.#relay(client).catch((error: unknown) => {
        this.#fail(error);
        client.destroy();
      });
    });
  }

  static async open(options: RtspRelayOptions): Promise<RtspRelay> {
    const relay = new RtspRelay(options);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  /** What FFmpeg is to open: it says nothing of the camera. */
  get url(): string {
    return `rtsp://127.0.0.1:${(this.#server.address() as AddressInfo).port}/source`;
  }

  /** What went wrong between us and the camera, when it is known. */
  get failure(): InputError | undefined {
    return this.#failure;
  }

  close(): void {
    this.#closed = true;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #relay(client: Socket): Promise<void> {
    const { guard, host, port, tls } = this.#options;
    client.pause();
    const address = await guard.resolve(host);
    // FFmpeg may have gone meanwhile.
    if (client.destroyed || this.#closed) return;
    const camera =
      tls === 'none'
        ? connectTcp({ host: address, port })
        : connectTls({
            ...{ host: address, port, rejectUnauthorized: tls === 'trusted' },
            ...(isIP(host) === 0 ? { servername: host } : {}),
          });
    this.#own(camera);
    camera.setNoDelay(true);
    client.setNoDelay(true);
    camera.setTimeout(CONNECT_MS, () => camera.destroy(new Error('no answer')));
    await once(camera, tls === 'none' ? 'connect' : 'secureConnect');
    camera.setTimeout(0);
    const { url, credentials } = this.#options;
    const send = (bytes: Buffer): void => void camera.write(bytes);
    const requests = new RtspRequests({ alias: this.url, url, credentials, send });
    const answers = new RtspAnswers(address, (head) => requests.answered(head));
    camera.on('data', (bytes: Buffer) => {
      try {
        for (const part of answers.push(bytes)) if (!client.write(part)) camera.pause();
      } catch (error) {
        this.#fail(error);
        camera.destroy();
      }
    });
    client.on('drain', () => camera.resume());
    camera.once('end', () => client.end());
    camera.once('close', () => client.destroySoon());
    client.once('close', () => camera.destroy());
    client.on('data', (bytes: Buffer) => {
      try {
        for (const part of requests.push(bytes)) if (!camera.write(part)) client.pause();
      } catch (error) {
        this.#fail(error);
        client.destroy();
      }
    });
    camera.on('drain', () => client.resume());
    client.once('end', () => camera.end());
    client.resume();
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on(
      'error',
      (error) => !this.#closed && this.#options.logger.debug({ error: error.message }, 'RTSP relay'),
    );
    socket.once('close', () => this.#sockets.delete(socket));
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    const known = error instanceof GuardError || error instanceof RtspRefusal;
    this.#failure = new InputError(
      known ? error.message : `the camera cannot be reached: ${reasonOf(error)}`,
      {
        retry: error instanceof GuardError ? error.retry : !(error instanceof RtspRefusal),
        cause: error,
      },
    );
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'there is no way to it';
  if (code === 'ECONNRESET') return 'the connection broke off';
  if (code?.startsWith('ERR_TLS') || /CERT|SELF_SIGNED/.test(code ?? '')) {
    return `its certificate is not trusted (${message}): #certificate=any behind the URL would take it`;
  }
  return message;
}
