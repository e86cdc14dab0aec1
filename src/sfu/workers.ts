/** The mediasoup worker processes of this node, each with its WebRtcServer. */
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import type { ConnectionLimits } from '../limits/connections.ts';
import { TcpGate } from './tcp-gate.ts';
import { SfuError } from './types.ts';
import { endWorker, startWorkerProcess } from './worker-process.ts';

/** Pause before a worker that died is started again; doubled by every failure in a row. */
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 5000;
const LOOPBACK = '127.0.0.1';

export interface WorkerPoolOptions {
  logger: Logger;
  /** How many workers; worker `i` listens on `udpPort + i` and `tcpPort + i`. */
  count: number;
  udpPort: number;
  tcpPort: number;
  /** Address to listen on. */
  host: string;
  /** Address told to clients, when it is another one. */
  announcedAddress: string | undefined;
  workerBin: string | undefined;
  /** Of ICE over TCP, each worker. */
  tcpLimits: ConnectionLimits;
}

/** A worker that runs. */
export interface RunningWorker {
  readonly worker: ms.Worker;
  readonly webRtcServer: ms.WebRtcServer;
  /** Where clients reach it over TCP: its own port is behind a gate. */
  readonly tcpPort: number;
}

export class WorkerPool {
  readonly #slots: WorkerSlot[];

  private constructor(slots: WorkerSlot[]) {
    this.#slots = slots;
  }

  /** Starts every worker; when one cannot start, closes the others and throws. */
  static async start(options: WorkerPoolOptions): Promise<WorkerPool> {
    const slots = Array.from({ length: options.count }, (_, index) => new WorkerSlot(options, index));
    const started = await Promise.allSettled(slots.map((slot) => slot.start()));
    const failed = started.find((result) => result.status === 'rejected');
    if (failed) {
      await Promise.all(slots.map((slot) => slot.close()));
      throw failed.reason;
    }
    return new WorkerPool(slots);
  }

  /** Process ids of the workers that run. */
  get pids(): number[] {
    return this.#slots.flatMap((slot) => (slot.running ? [slot.running.worker.pid] : []));
  }

  /**
   * The worker with the fewest rooms; `release` must be called when the room is gone.
   * @throws SfuError `unavailable` while none runs
   */
  acquire(): { running: RunningWorker; release: () => void } {
    const [slot] = this.#slots.filter((slot) => slot.running).sort((a, b) => a.rooms - b.rooms);
    if (!slot?.running) throw new SfuError('unavailable', 'no mediasoup worker is running; try again');
    slot.rooms += 1;
    let held = true;
    const release = (): void => {
      if (held) slot.rooms -= 1;
      held = false;
    };
    return { running: slot.running, release };
  }

  async close(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
  }
}

/** One worker's place: keeps its ports, and starts a new process when the old one dies. */
class WorkerSlot {
  readonly #options: WorkerPoolOptions;
  readonly #index: number;
  readonly #logger: Logger;
  #closed = false;
  #restart: NodeJS.Timeout | undefined;
  #starting: Promise<void> | undefined;
  #failures = 0;
  /** Outlives the processes behind it. */
  #gate: TcpGate | undefined;
  running: RunningWorker | undefined;
  rooms = 0;

  constructor(options: WorkerPoolOptions, index: number) {
    this.#options = options;
    this.#index = index;
    this.#logger = options.logger.child({ worker: index });
  }

  start(): Promise<void> {
    this.#starting = this.#start().finally(() => (this.#starting = undefined));
    return this.#starting;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    await this.#starting?.catch(() => undefined);
    const running = this.running;
    this.running = undefined;
    if (running) await endWorker(running.worker, this.#logger);
    await this.#gate?.close();
  }

  async #start(): Promise<void> {
    const { workerBin } = this.#options;
    const worker = await startWorkerProcess(workerBin);
    let running: RunningWorker;
    try {
      running = { worker, ...(await this.#listen(worker)) };
    } catch (err) {
      await endWorker(worker, this.#logger);
      throw err;
    }
    if (this.#closed || worker.closed) {
      await endWorker(worker, this.#logger);
      throw new Error('the mediasoup worker ended while it was started');
    }
    worker.on('died', (err) => this.#died(worker, err));
    this.#failures = 0;
    this.running = running;
    this.#logger.info({ pid: worker.pid }, 'mediasoup worker started');
  }

  async #listen(worker: ms.Worker): Promise<{ webRtcServer: ms.WebRtcServer; tcpPort: number }> {
    const { host, announcedAddress, udpPort, tcpPort, tcpLimits } = this.#options;
    const address = { ip: host, ...(announcedAddress === undefined ? {} : { announcedAddress }) };
    const udp = udpPort + this.#index;
    const tcp = tcpPort + this.#index;
    try {
      const gate = (this.#gate ??= await TcpGate.open({
        ...{ host, port: tcpPort === 0 ? 0 : tcp, limits: tcpLimits, logger: this.#logger },
      }));
      const webRtcServer = await worker.createWebRtcServer({
        listenInfos: [
          { protocol: 'udp', ...address, port: udp },
          { protocol: 'tcp', ip: LOOPBACK, announcedAddress: announcedAddress ?? host },
        ],
      });
      gate.target = (await webRtcServer.dump()).tcpServers[0]?.port;
      return { webRtcServer, tcpPort: gate.port };
    } catch (err) {
      const reason = err instanceof Error ? err.message : String(err);
      throw new Error(`cannot listen for media on ${host}, UDP port ${udp} and TCP port ${tcp}: ${reason}`, {
        cause: err,
      });
    }
  }

  #died(worker: ms.Worker, err: Error): void {
    if (this.running?.worker !== worker) return;
    this.running = undefined;
    this.#gate?.drop();
    this.#logger.error({ err, pid: worker.pid, rooms: this.rooms }, 'mediasoup worker died; its rooms end');
    this.#startAgain();
  }

  #startAgain(): void {
    if (this.#closed) return;
    const delay = Math.min(RESTART_MIN_MS * 2 ** this.#failures, RESTART_MAX_MS);
    this.#failures += 1;
    this.#restart = setTimeout(() => {
      this.start().catch((err: unknown) => {
        if (this.#closed) return;
        this.#logger.error({ err }, 'mediasoup worker could not be started again');
        this.#startAgain();
      });
    }, delay);
  }
}
