/** The redis-server of `sluice start`: private, durable, and gone when its parent is. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { childEnvironment } from '../child-environment.ts';
import { OwnerFile } from './owner-file.ts';

export interface EmbeddedRedis {
  /** `unix:///…/redis.sock`, for connectRedis. */
  readonly url: string;
  /** Of the redis-server that runs now. */
  readonly pid: number;
  /** Resolves with the reason when it has ended too often to be started again. */
  readonly failed: Promise<Error>;
  /** Lets it write what it has, then ends it. Close what is connected to it first. */
  stop(): Promise<void>;
}

/** A long append-only file takes a while to read. */
const READY_MS = 60_000;
const STOP_MS = 10_000;
/** More ends than this within the window, and starting it again is no help. */
const MAX_RESTARTS = 5;
const RESTART_WINDOW_MS = 60_000;
/** `sun_path` has 108 bytes with the final NUL. */
const MAX_SOCKET_PATH = 107;

/**
 * Starts a redis-server on a private unix socket, with append-only persistence under `<dataDir>/redis`. Started again
 * when it ends by itself; clients reconnect to the same socket.
 * @throws Error when redis-server is not installed, does not get ready, or another process uses `dataDir`.
 */
export async function startEmbeddedRedis({
  dataDir,
  logger,
}: {
  dataDir: string;
  logger: Logger;
}): Promise<EmbeddedRedis> {
  const folder = join(dataDir, 'redis');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const owner = await OwnerFile.take(join(folder, 'owner.json'));
  const redis = new Supervisor(folder, owner, logger);
  try {
    await redis.start();
  } catch (error) {
    await redis.stop();
    throw error;
  }
  return redis;
}

class Supervisor implements EmbeddedRedis {
  readonly url: string;
  readonly failed: Promise<Error>;
  readonly #folder: string;
  readonly #owner: OwnerFile;
  readonly #logger: Logger;
  readonly #socket: string;
  /** A folder of the socket's own, when its path would be too long. */
  readonly #socketFolder: string | undefined;
  readonly #fail: (reason: Error) => void;
  readonly #ends: number[] = [];
  #child: ChildProcess | undefined;
  #exited: Promise<string> = Promise.resolve('');
  #stopping = false;

  constructor(folder: string, owner: OwnerFile, logger: Logger) {
    this.#folder = folder;
    this.#owner = owner;
    this.#logger = logger;
    const socket = join(folder, 'redis.sock');
    const fits = Buffer.byteLength(socket) <= MAX_SOCKET_PATH;
    this.#socketFolder = fits ? undefined : mkdtempSync(join(tmpdir(), 'sluice-redis-'));
    this.#socket = this.#socketFolder === undefined ? socket : join(this.#socketFolder, 'redis.sock');
    this.url = `unix://${this.#socket}`;
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#fail = resolve;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    rmSync(this.#socket, { force: true });
    const [command, args] = withParentDeath(findServer(), serverArguments(this.#folder, this.#socket));
    // A session of its own: Ctrl-C reaches us, and we end it after all that uses it.
    const child = spawn(command, args, {
      ...{ detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
      env: childEnvironment(),
    });
    this.#child = child;
    let lastLine = '';
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lastLine = line;
        this.#logger.debug({ line }, 'redis-server');
      });
    }
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => resolve(`redis-server cannot be started: ${error.message}`));
      child.once('close', (code, signal) =>
        resolve(`redis-server ended (${signal ?? `code ${code}`}): ${lastLine}`),
      );
    });
    if (child.pid !== undefined) this.#owner.setRedis(child.pid);
    await this.#ready();
    this.#logger.info({ pid: child.pid, socket: this.#socket }, 'redis-server runs');
    void this.#exited.then((reason) => this.#ended(reason));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => {
        this.#logger.warn('redis-server did not end in time');
        child.kill('SIGKILL');
      }, STOP_MS);
      await this.#exited;
      clearTimeout(timer);
    }
    rmSync(this.#socket, { force: true });
    if (this.#socketFolder !== undefined) rmSync(this.#socketFolder, { recursive: true, force: true });
    this.#owner.release();
  }

  /** @throws Error when it ends first, or takes too long. */
  async #ready(): Promise<void> {
    const deadline = Date.now() + READY_MS;
    while (!(await answersPing(this.#socket))) {
      const ended = await Promise.race([this.#exited, sleep(15, undefined)]);
      if (ended !== undefined) throw new Error(ended);
      if (Date.now() > deadline) throw new Error(`redis-server was not ready within ${READY_MS / 1000} s`);
    }
  }

  /** May have changed while something was waited for. */
  #isStopping(): boolean {
    return this.#stopping;
  }

  async #ended(reason: string): Promise<void> {
    if (this.#isStopping()) return;
    const now = Date.now();
    this.#ends.push(now);
    const recent = this.#ends.filter((at) => now - at < RESTART_WINDOW_MS).length;
    this.#logger.error({ reason, recent }, 'redis-server ended by itself; starting it again');
    try {
      if (recent > MAX_RESTARTS) throw new Error(reason);
      await sleep(100 * recent);
      if (!this.#isStopping()) await this.start();
    } catch (error) {
      if (this.#isStopping()) return;
      this.#logger.fatal({ err: error }, 'redis-server cannot be kept running');
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

function serverArguments(folder: string, socket: string): string[] {
  const options = {
    port: '0',
    unixsocket: socket,
    unixsocketperm: '700',
    daemonize: 'no',
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    // The append-only file is all there is.
    save: '',
    'maxmemory-policy': 'noeviction',
    logfile: '',
    loglevel: 'notice',
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

/** util-linux's setpriv has the kernel end the child when we are gone, also by SIGKILL. */
const SETPRIV = '/usr/bin/setpriv';

function withParentDeath(command: string, args: string[]): [string, string[]] {
  return existsSync(SETPRIV) ? [SETPRIV, ['--pdeathsig', 'TERM', '--', command, ...args]] : [command, args];
}

/** @throws Error when it is not installed. */
function findServer(path = process.env.PATH ?? ''): string {
  for (const folder of path.split(delimiter)) {
    const candidate = join(folder, 'redis-server');
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here.
    }
  }
  throw new Error(
    "redis-server is not installed: install Debian's redis-server, or set redis.url to a Redis of yours",
  );
}

/** False while it is not there, or still reads its data. */
function answersPing(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    const finish = (answer: boolean): void => {
      connection.destroy();
      resolve(answer);
    };
    connection.setTimeout(1000, () => finish(false));
    connection.once('error', () => finish(false));
    connection.once('data', (data) => finish(data.toString().startsWith('+PONG')));
    connection.once('close', () => finish(false));
    connection.write('PING\r\n');
  });
}
