/** Holds RTMP publishers for workers: one session each, however often either of the two comes back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInput } from '@livekit/protocol';
import type { Logger } from 'pino';
import { newId } from '../../sfu/ids.ts';
import type { IngressRecord, IngressStore } from '../../store/ingress-types.ts';
import { endSession } from '../end-session.ts';
import type { Authorise, MediaSink, PublishRequest, RtmpPublisher } from '../inputs/rtmp/index.ts';
import { RelaySession } from './session.ts';

/** ms the store trusts this server to be there without a word; renewed three times in it. */
const LEASE_MS = 15_000;
const RENEW_MS = 5000;
/** ms a worker that was reading has to end the session in the store. */
const WORKER_MS = 5000;
const LOOK_MS = 300;
/** Times the fence may move while we end a session. */
const MAX_TRIES = 5;

const UNKNOWN = 'this stream key is not known here';
const DISABLED = 'this ingress is disabled';
const BUSY = 'somebody is already publishing with this stream key';

export interface RtmpRelayOptions {
  store: Pick<
    IngressStore,
    'get' | 'byStreamKey' | 'beginSession' | 'renewLease' | 'endSession' | 'onChange'
  >;
  /** Where workers take sessions from. */
  queue: { add(ingressId: string, attempt: number): Promise<void> };
  /** ms a publisher that is gone is waited for. */
  graceMs: number;
  /** Where workers reach this server's HTTP, e.g. `http://host:7880`; a slash at its end does not matter. */
  relayUrl: () => string;
  bridgeUrl: () => string;
  logger: Logger;
}

interface Held {
  session: RelaySession;
  /** Whoever returns with it goes on in the session. */
  streamKey: string;
  /** Settles when the store knows that it is over. */
  settled: Promise<unknown>;
}

export class RtmpRelay {
  readonly #options: RtmpRelayOptions;
  /** By ingress. */
  readonly #held = new Map<string, Held>();
  readonly #sessions = new Map<string, RelaySession>();
  /** Per ingress, so that of two at once the second sees the first. */
  readonly #entering = new Map<string, Promise<unknown>>();
  #closed = false;

  constructor(options: RtmpRelayOptions) {
    this.#options = options;
  }

  /** Publishers that are held, gone ones within their grace included. */
  get size(): number {
    return this.#sessions.size;
  }

  /** By resource id, for its reader; undefined when it is over. */
  session(resourceId: string): RelaySession | undefined {
    return this.#sessions.get(resourceId);
  }

  /** For the RTMP server. */
  readonly authorise: Authorise = async (request, publisher) => {
    // One who returns is known here: a store that is away must not cost it its grace.
    const session = this.#sessionOf(request.streamKey);
    if (session && !this.#closed)
      return session.free ? { accept: session.attach(publisher) } : { refuse: BUSY };
    const record = await this.#options.store.byStreamKey(request.streamKey);
    if (record?.info.inputType !== IngressInput.RTMP_INPUT) return { refuse: UNKNOWN };
    const before = this.#entering.get(record.ingressId) ?? Promise.resolve();
    const entering = before.catch(() => undefined).then(() => this.#enter(record, request, publisher));
    this.#entering.set(record.ingressId, entering);
    try {
      return await entering;
    } finally {
      if (this.#entering.get(record.ingressId) === entering) this.#entering.delete(record.ingressId);
    }
  };

  /** Of who publishes with this key, or did within the grace. */
  #sessionOf(streamKey: string): RelaySession | undefined {
    for (const held of this.#held.values())
      if (held.streamKey === streamKey && !held.session.over) return held.session;
    return undefined;
  }

  /** The session of an ingress is over: its publisher is hung up on. */
  end(ingressId: string, reason = 'the ingress was ended'): void {
    this.#held.get(ingressId)?.session.end(reason);
  }

  /** Hangs up on everybody, and ends their sessions in the store. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#entering.values());
    const held = [...this.#held.values()];
    for (const { session } of held) session.end('this server is shutting down', 'lost');
    await Promise.all(held.map(({ settled }) => settled));
  }

  async #enter(
    { ingressId, info }: IngressRecord,
    request: PublishRequest,
    publisher: RtmpPublisher,
  ): Promise<{ accept: MediaSink } | { refuse: string }> {
    if (this.#closed) return { refuse: 'this server is shutting down' };
    if (info.enabled === false) return { refuse: DISABLED };
    const held = this.#held.get(ingressId);
    if (held && !held.session.over) {
      return held.session.free ? { accept: held.session.attach(publisher) } : { refuse: BUSY };
    }
    // The one before is over, but not for everybody yet.
    await held?.settled;
    return this.#begin(ingressId, request, publisher);
  }

  async #begin(
    ingressId: string,
    { streamKey, remoteAddress, secure }: PublishRequest,
    publisher: RtmpPublisher,
  ): Promise<{ accept: MediaSink } | { refuse: string }> {
    const { store, queue, relayUrl, bridgeUrl, graceMs } = this.#options;
    const resourceId = newId('IR_');
    const url = `${relayUrl().replace(/\/+$/, '')}/ingress/relay/${resourceId}`;
    const begun = await store.beginSession(
      ingressId,
      { resourceId, source: { type: 'relay', url }, bridgeUrl: bridgeUrl(), startedAtMs: Date.now() },
      LEASE_MS,
    );
    if (typeof begun === 'string') {
      return { refuse: begun === 'busy' ? BUSY : begun === 'disabled' ? DISABLED : UNKNOWN };
    }
    const logger = this.#options.logger.child({ ingressId, resourceId });
    const settled = Promise.withResolvers<undefined>();
    const owned = this.#own(ingressId, resourceId, logger);
    const session = new RelaySession({
      ...{ resourceId, graceMs, logger },
      onOver: (read) => {
        owned();
        this.#sessions.delete(resourceId);
        // A worker that reads ends the session itself, with what it knows.
        void this.#settle(ingressId, resourceId, read && !this.#closed, logger).finally(() => {
          if (this.#held.get(ingressId)?.session === session) this.#held.delete(ingressId);
          settled.resolve(undefined);
        });
      },
    });
    this.#held.set(ingressId, { session, streamKey, settled: settled.promise });
    this.#sessions.set(resourceId, session);
    try {
      await queue.add(ingressId, begun.attempt);
    } catch (error) {
      logger.error({ err: error }, 'session not queued');
      session.end('no worker can be asked');
      return { refuse: 'this server cannot take a stream now; try again later' };
    }
    if (session.over) return { refuse: DISABLED };
    logger.info({ remote: remoteAddress, secure }, 'publishing session begun');
    return { accept: session.attach(publisher) };
  }

  /** Keeps the lease, and watches the ingress; answers what ends both. */
  #own(ingressId: string, resourceId: string, logger: Logger): () => void {
    const { store } = this.#options;
    const over = (reason: string): void => this.#sessions.get(resourceId)?.end(reason);
    const renew = async (): Promise<void> => {
      try {
        if (!(await store.renewLease(ingressId, resourceId, LEASE_MS))) over('the session was ended');
      } catch (error) {
        // The next renewal is in time still; without a store nobody else could begin either.
        logger.warn({ err: error }, 'lease of the session not renewed');
      }
    };
    const timer = setInterval(() => void renew(), RENEW_MS);
    const unwatch = store.onChange(ingressId, (record) => {
      if (!record) over('the ingress was deleted');
      else if (record.info.enabled === false) over('the ingress was disabled');
      else if (record.session?.resourceId !== resourceId) void renew();
    });
    return () => {
      clearInterval(timer);
      unwatch();
    };
  }

  /** Sees to it that the store knows the session's end. */
  async #settle(ingressId: string, resourceId: string, worker: boolean, logger: Logger): Promise<void> {
    const { store } = this.#options;
    try {
      const until = Date.now() + (worker ? WORKER_MS : 0);
      for (let tries = 0; tries < MAX_TRIES;) {
        const record = await store.get(ingressId);
        if (record?.session?.resourceId !== resourceId) return;
        if (Date.now() < until) {
          await sleep(LOOK_MS);
          continue;
        }
        if (await endSession(store, ingressId, resourceId, '')) return;
        tries++;
      }
    } catch (error) {
      // Its lease runs out.
      logger.warn({ err: error }, 'end of the session not stored');
    }
  }
}
