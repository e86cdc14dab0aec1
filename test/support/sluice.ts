/** Real Sluice processes for tests: `sluice start`, or a server and as many workers as wanted. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AccessToken, EgressClient, RoomServiceClient } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import type { VideoGrant } from 'livekit-server-sdk';
import { createAccessToken } from '../../src/auth/token.ts';
import type { TokenGrants } from '../../src/auth/token.ts';
import { freePort } from './ports.ts';

export const API_KEY = 'devkey';
export const API_SECRET = 'secret';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const READY_MS = 90_000;
const STOP_MS = 60_000;

/** One running `sluice` process; its log is kept for when a test fails. */
export class SluiceProcess {
  readonly child: ChildProcess;
  readonly name: string;
  #output = '';

  /** @param prefix what runs the command, e.g. `ip netns exec name` */
  constructor(
    command: string,
    env: Record<string, string>,
    ownGroup: boolean,
    prefix: readonly string[] = [],
  ) {
    this.name = command;
    const [program = process.execPath, ...args] = prefix;
    if (prefix.length > 0) args.push(process.execPath);
    args.push(MAIN, command);
    this.child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: ownGroup,
    });
    const keep = (data: Buffer) => {
      this.#output = (this.#output + data.toString()).slice(-2_000_000);
    };
    this.child.stdout?.on('data', keep);
    this.child.stderr?.on('data', keep);
  }

  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ctrl-C: SIGINT to every process of the group, as a terminal sends it. Needs `ownGroup`. */
  interrupt(): void {
    process.kill(-this.child.pid!, 'SIGINT');
  }

  /** Resolves when it has ended. */
  async ended(): Promise<number | null> {
    if (this.running) await once(this.child, 'exit');
    return this.child.exitCode;
  }

  /** SIGTERM, and the exit code. @throws when it does not end. */
  async stop(): Promise<number | null> {
    if (this.running) {
      const exited = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
      this.child.kill('SIGCONT');
      this.child.kill('SIGTERM');
      const late = AbortSignal.timeout(STOP_MS);
      await Promise.race([
        exited,
        new Promise((resolve) => late.addEventListener('abort', resolve, { once: true })),
      ]);
      if (this.running) {
        this.child.kill('SIGKILL');
        throw new Error(`sluice ${this.name} did not stop:\n${this.#output.slice(-5000)}`);
      }
    }
    return this.child.exitCode;
  }

  /** Resolves when a line of the log holds `text`. */
  async logged(text: string, timeoutMs = READY_MS): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!this.#output.includes(text)) {
      if (!this.running) throw new Error(`sluice ${this.name} ended:\n${this.#output.slice(-5000)}`);
      if (Date.now() > deadline)
        throw new Error(`sluice ${this.name} never logged ${text}:\n${this.#output.slice(-5000)}`);
      await sleep(50);
    }
  }
}

export interface SluiceOptions {
  /** `start` (default): everything in one process. `split`: a server; add workers with {@link Sluice.addWorker}. */
  mode?: 'start' | 'split';
  /** Needed for `split`. */
  redisUrl?: string;
  /** More environment. */
  env?: Record<string, string>;
  /** Processes lead groups of their own, as in a terminal; see {@link SluiceProcess.interrupt}. */
  ownGroup?: boolean;
  /** Of `devkey`, instead of the default one. */
  secret?: string;
  /** The environment has a certificate: HTTPS. */
  tls?: boolean;
}

export class Sluice {
  readonly url: string;
  readonly dataDir: string;
  readonly rooms: RoomServiceClient;
  readonly egress: EgressClient;
  readonly processes: SluiceProcess[] = [];
  readonly #env: Record<string, string>;
  readonly #ownGroup: boolean;
  readonly #secret: string;

  private constructor(
    url: string,
    dataDir: string,
    env: Record<string, string>,
    { ownGroup = false, secret = API_SECRET }: SluiceOptions,
  ) {
    this.url = url;
    this.dataDir = dataDir;
    this.#env = env;
    this.#ownGroup = ownGroup;
    this.#secret = secret;
    this.rooms = new RoomServiceClient(url, API_KEY, secret);
    this.egress = new EgressClient(url, API_KEY, secret);
  }

  static async start(options: SluiceOptions = {}): Promise<Sluice> {
    const [http, rtc] = [await freePort(), await freePort()];
    const dataDir = await mkdtemp(join(tmpdir(), 'sluice-data-'));
    const first = 20_000 + Math.floor(Math.random() * 100) * 100;
    const env: Record<string, string> = {
      SLUICE_HTTP_PORT: String(http),
      SLUICE_INGRESS_RTMP_PORT: '0',
      SLUICE_RTC_UDP_PORT: String(rtc),
      SLUICE_RTC_TCP_PORT: String(rtc),
      SLUICE_RTC_PLAIN_PORT_RANGE: `${first}-${first + 399}`,
      SLUICE_DATA_DIR: dataDir,
      // Receivers and stores of tests are on this machine.
      SLUICE_OUTBOUND_ALLOW_NETWORKS: '127.0.0.0/8, ::1',
      // Whatever still runs when a test is over ends at once.
      SLUICE_WORKER_DRAIN_DEADLINE: '0',
      SLUICE_LOG_LEVEL: 'debug',
      SLUICE_LOG_PRETTY: 'false',
      ...(process.env.CHROMIUM_BIN !== undefined && { SLUICE_EGRESS_WEB_CHROMIUM: process.env.CHROMIUM_BIN }),
      ...(options.redisUrl !== undefined && { SLUICE_REDIS_URL: options.redisUrl }),
      ...(options.secret !== undefined && { SLUICE_KEYS: `${API_KEY}: ${options.secret}` }),
      ...options.env,
    };
    const sluice = new Sluice(`${options.tls ? 'https' : 'http'}://127.0.0.1:${http}`, dataDir, env, options);
    try {
      const main = sluice.#spawn(options.mode === 'split' ? 'server' : 'start');
      await sluice.#answering(main, options.mode === 'split');
      return sluice;
    } catch (error) {
      await sluice.stop().catch(() => undefined);
      throw error;
    }
  }

  get main(): SluiceProcess {
    const [first] = this.processes;
    if (!first) throw new Error('sluice is not started');
    return first;
  }

  /** Starts the first process again, on the same ports and data, once it has ended. */
  async restartMain(): Promise<void> {
    const { name } = this.main;
    const again = this.#spawn(name);
    this.processes.pop();
    this.processes[0] = again;
    await this.#answering(again, name === 'server');
  }

  async addWorker(env: Record<string, string> = {}, prefix: readonly string[] = []): Promise<SluiceProcess> {
    const worker = this.#spawn('worker', env, prefix);
    await worker.logged('worker ready');
    return worker;
  }

  /** A token as livekit-server-sdk makes it. */
  async token(identity: string, grant: VideoGrant): Promise<string> {
    const token = new AccessToken(API_KEY, this.#secret, { identity, ttl: 600 });
    token.addGrant({ roomJoin: true, ...grant });
    return token.toJwt();
  }

  /** As a worker's for attempt 1, of a test that is one. */
  async bridgeToken(identity: string, grants: TokenGrants): Promise<string> {
    return createAccessToken({
      ...{ key: API_KEY, secret: this.#secret, identity, ttl: 600 },
      job: { door: 'bridge', id: identity, attempt: 1 },
      grants: { roomJoin: true, ...grants },
    });
  }

  /** Polls ListEgress until `done`. */
  async waitForEgress(
    egressId: string,
    done: (info: EgressInfo) => boolean,
    timeoutMs = 30_000,
  ): Promise<EgressInfo> {
    const deadline = Date.now() + timeoutMs;
    // A look costs both sides some milliseconds, and many wait at once: who waits long looks less often.
    for (let pauseMs = 50; ; pauseMs = Math.min(250, pauseMs * 1.3)) {
      const [info] = await this.egress.listEgress({ egressId });
      if (info && done(info)) return info;
      if (Date.now() > deadline) {
        throw new Error(
          `egress ${egressId} is not there yet: ${info?.toJsonString() ?? 'not listed'}\n${this.tail()}`,
        );
      }
      await sleep(pauseMs);
    }
  }

  /** The last of every process's log. */
  tail(characters = 6000): string {
    return this.processes.map(({ name, output }) => `--- ${name}\n${output.slice(-characters)}`).join('\n');
  }

  /** Stops every process, last started first, and removes the data. Answers the exit codes in that order. */
  async stop(): Promise<(number | null)[]> {
    const codes: (number | null)[] = [];
    const failures: unknown[] = [];
    for (const each of [...this.processes].reverse()) {
      try {
        codes.push(await each.stop());
      } catch (error) {
        failures.push(error);
      }
    }
    await rm(this.dataDir, { recursive: true, force: true });
    if (failures.length > 0) throw failures[0];
    return codes;
  }

  #spawn(command: string, env: Record<string, string> = {}, prefix: readonly string[] = []): SluiceProcess {
    const child = new SluiceProcess(command, { ...this.#env, ...env }, this.#ownGroup, prefix);
    this.processes.push(child);
    return child;
  }

  /** @param alone a server without workers answers, but cannot take jobs yet. */
  async #answering(main: SluiceProcess, alone: boolean): Promise<void> {
    const deadline = Date.now() + READY_MS;
    for (;;) {
      if (!main.running) throw new Error(`sluice ended:\n${main.output.slice(-5000)}`);
      const status = await fetch(`${this.url}/healthz`).then(
        async (response) => {
          await response.arrayBuffer();
          return response.status;
        },
        () => 0,
      );
      if (status === 200 || (alone && status !== 0)) return;
      if (Date.now() > deadline) throw new Error(`sluice does not answer:\n${main.output.slice(-5000)}`);
      await sleep(100);
    }
  }
}
