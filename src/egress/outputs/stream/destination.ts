/** One destination of a stream: an FFmpeg process that copies, started again for as long as there is hope. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { redactStreamUrl } from '../../../redact.ts';
import { GuardError } from '../../../outbound/index.ts';
import type { AddressPolicy } from '../../../outbound/index.ts';
import { Condition } from './condition.ts';
import { FfmpegFeed } from './feed.ts';
import { TapQueue } from './queue.ts';
import { Retries } from './retries.ts';
import type { StreamTarget } from './target.ts';
import { parseTarget, streamArguments } from './target.ts';
import { DEFAULT_LIMITS } from './types.ts';
import type { DestinationLimits, DestinationStatus } from './types.ts';
import type { TapUnit } from './units.ts';
import { findWay } from './way.ts';
import type { Way } from './way.ts';

/** Time to send what is left at the end. */
const FINISH_MS = 3000;

export interface DestinationOptions {
  url: string;
  logger: Logger;
  limits?: Partial<DestinationLimits>;
  /** Trusted certificates (PEM) for RTMPS instead of the system's. */
  caFile?: string;
  /** Where the URL may lead; without it the URL is trusted. */
  policy?: AddressPolicy;
  onStatus?: (status: DestinationStatus) => void;
}

export class StreamDestination {
  readonly #options: DestinationOptions;
  readonly #target: StreamTarget;
  readonly #limits: DestinationLimits;
  readonly #logger: Logger;
  readonly #queue: TapQueue;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  readonly #condition: Condition;

  /** @throws OutputError when the URL is none of ours */
  constructor(options: DestinationOptions) {
    this.#options = options;
    this.#target = parseTarget(options.url);
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#queue = new TapQueue({ bytes: this.#limits.queueBytes, ageMs: this.#limits.queueMs });
    const redactedUrl = redactStreamUrl(options.url);
    this.#logger = options.logger.child({ stream: redactedUrl });
    this.#condition = new Condition(redactedUrl, 'stream', this.#logger, options.onStatus);
    this.#done = this.#run().catch((error: unknown) => this.#condition.broken(error));
  }

  get status(): DestinationStatus {
    return this.#condition.status;
  }

  /** Takes the tap's next unit; never waits. */
  push(unit: TapUnit): void {
    const { endedAt, state } = this.#condition.status;
    if (endedAt !== undefined) return;
    const { drops } = this.#queue;
    this.#queue.push(unit);
    if (this.#queue.drops > drops && state === 'active')
      this.#logger.warn(
        { times: this.#queue.drops },
        'the destination takes less than is sent: some is lost, it goes on from a keyframe',
      );
  }

  /** Ends it in order: what is on its way is sent, within a few seconds. Safe to call twice. */
  async stop(): Promise<DestinationStatus> {
    this.#stop.abort();
    await this.#done;
    return this.#condition.status;
  }

  /** One connection after the other. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const retries = new Retries(this.#limits);
    for (;;) {
      const first = await this.#firstUnit(signal);
      if (!first) break;
      retries.begin();
      const end = await this.#connection(first);
      if (this.#stopping()) break;
      if (end.type === 'parameters') {
        // FLV by copy keeps one sequence header: the new picture size needs a new connection, begun with it.
        this.#queue.unshift(end.unit);
        retries.forgive();
        this.#logger.info('parameter sets changed: connecting anew');
        continue;
      }
      const wait = retries.next(end.activeMs, this.#condition.everLive, end.ours);
      if (end.forGood || wait === undefined) {
        this.#condition.givenUp(end.reason);
        return;
      }
      this.#condition.failed(end.reason, wait);
      await delay(wait, undefined, { signal }).catch(() => undefined);
      if (this.#stopping()) break;
      this.#queue.restart();
      this.#condition.retrying();
    }
    this.#condition.finished();
  }

  #stopping(): boolean {
    return this.#stop.signal.aborted;
  }

  /** A unit a receiver can begin with. */
  async #firstUnit(signal: AbortSignal): Promise<TapUnit | undefined> {
    for (;;) {
      const unit = await this.#queue.next(signal);
      if (!unit || unit.start) return unit;
    }
  }

  async #connection(
    first: TapUnit,
  ): Promise<
    | { type: 'parameters'; unit: TapUnit }
    | { type: 'failed'; reason: string; activeMs: number; forGood?: boolean; ours?: boolean }
  > {
    const { policy, caFile } = this.#options;
    let way: Way;
    try {
      way = await findWay(this.#target, policy, caFile);
    } catch (error) {
      if (!(error instanceof GuardError)) throw error;
      return { type: 'failed', reason: error.message, activeMs: 0, forGood: !error.retry };
    }
    const feed = new FfmpegFeed({
      args: streamArguments(way.target, caFile),
      hidden: way.target.preset,
      host: this.#target.host,
      secrets: this.#target.secrets,
      logger: this.#logger,
      stallMs: this.#limits.stallMs,
      onActive: () => this.#condition.live(),
    });
    const parameters = first.start?.parametersHash;
    // Stopping interrupts the wait for more, and what breaks the connection does too.
    const over = AbortSignal.any([this.#stop.signal, feed.broken]);
    try {
      for (let unit: TapUnit | undefined = first; unit; unit = await this.#queue.next(over)) {
        if (unit.start && unit.start.parametersHash !== parameters) {
          await feed.finish(FINISH_MS);
          return { type: 'parameters', unit };
        }
        await feed.write(unit, unit === first, over);
      }
      if (!feed.broken.aborted) await feed.finish(FINISH_MS);
      const [told, ours] = [await feed.reason(), await feed.crashed()];
      return { type: 'failed', reason: way.failure() ?? told, activeMs: feed.activeMs, ours };
    } finally {
      await feed.kill();
      await way.close();
    }
  }
}
