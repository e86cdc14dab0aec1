/**
 * The WebSocket output of a track's sound, as LiveKit has it: binary messages of s16le at 48 kHz, mono, and a text
 * message `{"muted":true}` or `{"muted":false}` when the track is muted or not any more. While it is muted, silence
 * goes on: who counts samples knows the time. Connections are made again for as long as there is hope; a listener that
 * is told nothing of a mute when it connects hears a track that is not muted.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { redactStreamUrl } from '../../../redact.ts';
import { checkedAgents } from '../../../outbound/index.ts';
import type { AddressPolicy } from '../../../outbound/index.ts';
import { Condition } from '../stream/condition.ts';
import { Retries } from '../stream/retries.ts';
import { DEFAULT_LIMITS } from '../stream/types.ts';
import type { DestinationLimits, DestinationStatus } from '../stream/types.ts';
import { WebSocketConnection } from './connection.ts';
import { FrameQueue } from './frames.ts';

/** Time to send what is left at the end. */
const FINISH_MS = 3000;
/** A loss is told of at most this often, ms. */
const LOSS_TOLD_MS = 10_000;

export interface WebSocketOutputOptions {
  /** `ws:` or `wss:`. */
  url: string;
  /** Whether the track is muted now. */
  muted: boolean;
  logger: Logger;
  limits?: Partial<DestinationLimits>;
  /** Trusted certificates (PEM) instead of the system's. */
  caFile?: string;
  /** Where the URL may lead; without it the URL is trusted. */
  policy?: AddressPolicy;
  onStatus?: (status: DestinationStatus) => void;
}

export class WebSocketOutput {
  readonly #options: WebSocketOutputOptions;
  readonly #limits: DestinationLimits;
  readonly #logger: Logger;
  readonly #queue: FrameQueue;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #connection: WebSocketConnection | undefined;
  #muted: boolean;
  #toldLossAt = -Infinity;
  readonly #condition: Condition;

  constructor(options: WebSocketOutputOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#queue = new FrameQueue(this.#limits.queueMs);
    this.#muted = options.muted;
    const redactedUrl = redactStreamUrl(options.url);
    this.#logger = options.logger.child({ stream: redactedUrl });
    this.#condition = new Condition(redactedUrl, 'WebSocket', this.#logger, options.onStatus);
    this.#done = this.#run().catch((error: unknown) => this.#condition.broken(error));
  }

  get status(): DestinationStatus {
    return this.#condition.status;
  }

  /** Takes the next samples, cut anywhere; never waits. @param anew they are the first of another pipeline's */
  push(data: Buffer, anew = false): void {
    if (this.#condition.status.endedAt !== undefined) return;
    if (anew) this.#queue.realign();
    const { drops } = this.#queue;
    this.#queue.push(data);
    if (this.#queue.drops > drops) this.#tellLoss();
    this.#connection?.pump();
  }

  /** Says that frames are lost because the other side takes too few, not with each of them. */
  #tellLoss(): void {
    const now = performance.now();
    if (this.#condition.status.state !== 'active' || now < this.#toldLossAt + LOSS_TOLD_MS) return;
    this.#toldLossAt = now;
    this.#logger.warn(
      { frames: this.#queue.drops },
      'the WebSocket takes less than is sent: frames of 20 ms are lost',
    );
  }

  setMuted(muted: boolean): void {
    if (this.#muted === muted) return;
    this.#muted = muted;
    this.#queue.say(JSON.stringify({ muted }));
    this.#connection?.pump();
  }

  /** Ends it in order: what is on its way is sent, within a few seconds. Safe to call twice. */
  async stop(): Promise<DestinationStatus> {
    this.#stop.abort();
    await this.#connection?.finish(FINISH_MS);
    await this.#done;
    return this.#condition.status;
  }

  async #run(): Promise<void> {
    const { policy, caFile, url } = this.#options;
    const agents = policy && checkedAgents(policy);
    const ca = caFile === undefined ? undefined : await readFile(caFile);
    try {
      await this.#connections(new URL(url), agents, ca);
    } finally {
      agents?.http.destroy();
      agents?.https.destroy();
    }
  }

  /** One after the other. */
  async #connections(
    url: URL,
    agents: ReturnType<typeof checkedAgents> | undefined,
    ca: Buffer | undefined,
  ): Promise<void> {
    const { signal } = this.#stop;
    const retries = new Retries(this.#limits);
    while (!signal.aborted) {
      retries.begin();
      this.#connection = new WebSocketConnection({
        ...{ url, agents, ca, queue: this.#queue, stallMs: this.#limits.stallMs },
        onOpen: () => this.#opened(),
      });
      const end = await this.#connection.ended;
      this.#connection = undefined;
      if (isAborted(signal)) break;
      const wait = retries.next(end.activeMs, this.#condition.everLive);
      if (end.forGood || wait === undefined) {
        this.#condition.givenUp(end.reason);
        return;
      }
      this.#condition.failed(end.reason, wait);
      await delay(wait, undefined, { signal }).catch(() => undefined);
      if (isAborted(signal)) break;
      this.#condition.retrying();
    }
    this.#condition.finished();
  }

  #opened(): void {
    this.#queue.begin(this.#muted ? JSON.stringify({ muted: true }) : undefined);
    this.#condition.live();
  }
}

/** A function, because it may turn true between two looks. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
