/** The SFU of this node: rooms on mediasoup workers. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setLogEventListeners } from 'mediasoup';
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import { mediaCodecs } from './codecs.ts';
import { SfuEvents } from './events.ts';
import type { SfuListener } from './events.ts';
import { checkCount, checkMetadata, checkName, checkSeconds } from './limits.ts';
import { Room } from './room.ts';
import { SfuError } from './types.ts';
import type { RoomOptions, Sfu, SfuRoom } from './types.ts';
import { WorkerPool } from './workers.ts';

/** How often mediasoup tells who is loud, ms. */
const AUDIO_LEVEL_INTERVAL_MS = 300;
/** Quieter than this is not speech, dBov. */
const AUDIO_LEVEL_THRESHOLD = -50;
const MAX_SPEAKERS = 10;

export interface SfuOptions {
  logger: Logger;
  rtc: {
    /** WebRTC over UDP and ICE-TCP; worker `i` listens on the port + `i`. */
    udpPort: number;
    tcpPort: number;
    /** IP address WebRTC listens on. */
    host: string;
    /**
     * Address clients (and bridge workers on other machines) are told. Default: `host`, or this machine's first
     * external IPv4 address when `host` is 0.0.0.0 or ::.
     */
    announcedAddress?: string | undefined;
    /** UDP ports of PlainTransports, both included. */
    plainPortRange: { min: number; max: number };
    /** Number of mediasoup workers, at least 1. */
    workers: number;
    /** IP address PlainTransports listen on. */
    plainListenIp: string;
    /** Connections of ICE over TCP open at once, a worker: altogether (default 1024), and from one address (128). */
    maxTcpConnections?: number;
    maxTcpConnectionsPerAddress?: number;
  };
  /** mediasoup-worker's path; default: mediasoup's own, or the environment's MEDIASOUP_WORKER_BIN. */
  workerBin?: string | undefined;
}

/** Starts the workers. @throws Error that names the port when one cannot be bound */
export async function createSfu(options: SfuOptions): Promise<SfuNode> {
  const { logger, rtc } = options;
  for (const [key, ip] of [
    ['host', rtc.host],
    ['plainListenIp', rtc.plainListenIp],
  ] as const) {
    if (isIP(ip) === 0)
      throw new SfuError('invalid_argument', `rtc.${key} must be an IP address, not "${ip}"`);
  }
  if (!Number.isInteger(rtc.workers) || rtc.workers < 1) {
    throw new SfuError(
      'invalid_argument',
      `rtc.workers must be a whole number of at least 1, not ${rtc.workers}`,
    );
  }
  // Worker processes and mediasoup's own code report through one hook a process.
  setLogEventListeners({
    onwarn: (namespace, log) => logger.debug({ namespace }, log),
    onerror: (namespace, log, err) => logger.warn({ namespace, err }, log),
  });
  const pool = await WorkerPool.start({
    logger,
    count: rtc.workers,
    udpPort: rtc.udpPort,
    tcpPort: rtc.tcpPort,
    host: rtc.host,
    announcedAddress: rtc.announcedAddress ?? (isUnspecified(rtc.host) ? externalAddress() : undefined),
    workerBin: options.workerBin,
    tcpLimits: {
      maxConnections: rtc.maxTcpConnections ?? 1024,
      maxConnectionsPerAddress: rtc.maxTcpConnectionsPerAddress ?? 128,
    },
  });
  return new SfuNode(options, pool);
}

/** Rooms by name. */
class Rooms {
  readonly present = new Map<string, Room>();
  /** On their way, so that two callers of one name get one room. */
  readonly creating = new Map<string, Promise<Room>>();
}

export class SfuNode implements Sfu {
  readonly #logger: Logger;
  readonly #pool: WorkerPool;
  readonly #plainListenInfo: ms.TransportListenInfo;
  readonly #events: SfuEvents;
  readonly #listed = new Rooms();
  readonly #internal = new Rooms();
  #closing: Promise<void> | undefined;

  /** Use {@link createSfu}. */
  constructor(options: SfuOptions, pool: WorkerPool) {
    this.#logger = options.logger;
    this.#pool = pool;
    this.#plainListenInfo = {
      protocol: 'udp',
      ip: options.rtc.plainListenIp,
      portRange: options.rtc.plainPortRange,
    };
    this.#events = new SfuEvents(options.logger);
  }

  /** Process ids of the mediasoup workers, for measuring what they cost. */
  get workerPids(): number[] {
    return this.#pool.pids;
  }

  async createRoom(options: RoomOptions): Promise<SfuRoom> {
    checkRoomOptions(options);
    this.#assertOpen();
    const { present, creating } = options.internal ? this.#internal : this.#listed;
    const existing = present.get(options.name);
    if (existing) return existing;
    let coming = creating.get(options.name);
    if (!coming) {
      coming = this.#create(options, present).finally(() => creating.delete(options.name));
      creating.set(options.name, coming);
    }
    return coming;
  }

  room(name: string): SfuRoom | undefined {
    return this.#listed.present.get(name);
  }

  internalRoom(name: string): SfuRoom | undefined {
    return this.#internal.present.get(name);
  }

  rooms(): SfuRoom[] {
    return [...this.#listed.present.values()];
  }

  deleteRoom(name: string): void {
    const room = this.#listed.present.get(name);
    if (!room) throw new SfuError('not_found', 'requested room does not exist');
    room.close('room_deleted');
  }

  deleteInternalRoom(name: string): void {
    this.#internal.present.get(name)?.close('room_deleted');
  }

  on(listener: SfuListener): () => void {
    return this.#events.on(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const both = [this.#listed, this.#internal];
    for (const room of both.flatMap(({ present }) => [...present.values()])) room.close('node_shutdown');
    await this.#pool.close();
    await Promise.allSettled(both.flatMap(({ creating }) => [...creating.values()]));
  }

  #assertOpen(): void {
    if (this.#closing) throw new SfuError('unavailable', 'the server is shutting down');
  }

  async #create(options: RoomOptions, present: Map<string, Room>): Promise<Room> {
    const { running, release } = this.#pool.acquire();
    let router: ms.Router | undefined;
    try {
      router = await running.worker.createRouter({ mediaCodecs: [...mediaCodecs] });
      const audioLevels = await router.createAudioLevelObserver({
        maxEntries: MAX_SPEAKERS,
        threshold: AUDIO_LEVEL_THRESHOLD,
        interval: AUDIO_LEVEL_INTERVAL_MS,
      });
      this.#assertOpen();
      const room = new Room(options, {
        router,
        audioLevels,
        webRtcServer: running.webRtcServer,
        tcpPort: running.tcpPort,
        createRouter: (mediaCodecs) => running.worker.createRouter({ mediaCodecs }),
        plainListenInfo: this.#plainListenInfo,
        events: this.#events,
        logger: this.#logger,
        onClosed: (closed) => {
          present.delete(closed.name);
          release();
        },
      });
      present.set(room.name, room);
      this.#logger.info({ roomId: room.sid, room: room.name }, 'room started');
      this.#events.emit({ type: 'room_started', room });
      return room;
    } catch (err) {
      release();
      if (router && !router.closed) router.close();
      if (err instanceof SfuError) throw err;
      this.#logger.error({ err, room: options.name }, 'room could not be created');
      throw new SfuError('unavailable', 'the room could not be created; try again');
    }
  }
}

/** @throws SfuError `invalid_argument` */
function checkRoomOptions(options: RoomOptions): void {
  checkName('room name', options.name);
  checkSeconds('empty_timeout', options.emptyTimeout ?? 0);
  checkSeconds('departure_timeout', options.departureTimeout ?? 0);
  checkCount('max_participants', options.maxParticipants ?? 0);
  checkMetadata('room metadata', options.metadata ?? '');
}

/** Listens on every address of the machine. */
export function isUnspecified(ip: string): boolean {
  return ip === '0.0.0.0' || ip === '::';
}

/** This machine's first IPv4 address that is not loopback. */
export function externalAddress(): string | undefined {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? [])
      if (family === 'IPv4' && !internal) return address;
  }
  return undefined;
}
