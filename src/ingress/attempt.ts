/**
 * One attempt at a session of an ingress: from the job that was taken to the end of the session, or to the next
 * attempt. It joins the room once the source gives media, and makes run after run of it for as long as it is wanted.
 */
import { IngressState, IngressState_Status as Status } from '@livekit/protocol';
import type { Logger } from 'pino';
import { BridgeRequestError } from '../bridge/errors.ts';
import { rtpPath } from '../bridge/rtp-path.ts';
import type { IngressRecord, IngressSession, IngressStore } from '../store/ingress-types.ts';
import { messageOf } from './cause.ts';
import type { Cause } from './cause.ts';
import type { Input } from './inputs/types.ts';
import type { MediaPath } from './publications.ts';
import { roomSources } from './room-source.ts';
import { Runs } from './runs.ts';
import { Seat } from './seat.ts';
import { SessionState } from './session-state.ts';
import { byteSources } from './source.ts';
import type { ConnectSource, RunPipeline } from './source.ts';

/** How an attempt ended; only `ended` means that the session is over. */
export type IngressOutcome = 'ended' | 'superseded' | 'handed-over';

/** Whom a token for the bridge is to let in, where. */
export interface BridgeSeat {
  room: string;
  identity: string;
  name: string;
  metadata: string;
  /** `publish`: the ingress's participant. `subscribe`: hidden, for what is to be transcoded. */
  role: 'publish' | 'subscribe';
  /** What it is for. */
  job: { id: string; attempt: number };
}

export interface IngressAttemptDeps {
  store: IngressStore;
  /** The input of a session of source `relay` or `url`. @throws InputError, Error when there is none for it */
  createInput: (session: IngressSession, record: IngressRecord) => Input;
  /** An ingress program that has just come up. */
  startPipeline: () => Promise<RunPipeline>;
  /** Access token for one join, of kind INGRESS. */
  bridgeToken: (seat: BridgeSeat) => Promise<string>;
  /** Address other machines reach this worker's RTP at. */
  workerAddress: string;
  portRange: { min: number; max: number } | undefined;
  logger: Logger;
}

export class IngressAttempt {
  readonly #deps: IngressAttemptDeps;
  readonly #record: IngressRecord;
  readonly #session: IngressSession;
  readonly #logger: Logger;
  readonly #state: SessionState;
  readonly #cause = Promise.withResolvers<Cause>();
  /** Aborted when the end has been decided. */
  readonly #over = new AbortController();
  readonly #seat: Seat;

  /** @param session the record's, of this attempt */
  constructor(record: IngressRecord, session: IngressSession, deps: IngressAttemptDeps) {
    this.#deps = deps;
    this.#record = record;
    this.#session = session;
    const { ingressId, info } = record;
    const { attempt } = session;
    this.#logger = deps.logger.child({ ingressId, room: info.roomName, attempt });
    this.#state = new SessionState({
      store: deps.store,
      ingressId,
      attempt,
      state: info.state ?? new IngressState(),
      logger: this.#logger,
      onSuperseded: () => this.#end({ type: 'superseded' }),
    });
    this.#seat = new Seat({
      bridgeUrl: session.bridgeUrl,
      token: () =>
        deps.bridgeToken({
          room: info.roomName,
          identity: info.participantIdentity || ingressId,
          name: info.participantName,
          metadata: info.participantMetadata,
          role: 'publish',
          job: { id: ingressId, attempt },
        }),
      attempt,
      signal: this.#over.signal,
      onJoined: (roomId) => this.#state.update((state) => (state.roomId = roomId)),
      onEnd: (cause) => this.#end(cause),
      logger: this.#logger,
    });
  }

  /**
   * Ends in order. The session of a push ends; a URL is pulled for as long as its ingress exists, so that goes on
   * with the next worker there is.
   */
  stop(reason: string): void {
    if (this.#session.source.type === 'url') this.#end({ type: 'hand-over' });
    else this.#end({ type: 'finish', reason });
  }

  /** Leaves the session to another worker; the participant stays in the room for it. */
  handOver(): void {
    this.#end({ type: 'hand-over' });
  }

  /**
   * What goes wrong ends the session, and is in its state.
   * @throws Error when the end cannot be stored: then nobody knows whether it is ours to end
   */
  async run(): Promise<IngressOutcome> {
    const stopListening = this.#deps.store.onChange(this.#record.ingressId, (record) => {
      if (!record) this.#end({ type: 'superseded' });
      else if (record.info.enabled === false)
        this.#end({ type: 'finish', reason: 'the ingress was disabled' });
    });
    try {
      const running = this.#start().catch((error: unknown) => this.#fail(error));
      const cause = await this.#cause.promise;
      await running;
      return await this.#conclude(cause);
    } finally {
      stopListening();
      this.#state.close();
    }
  }

  async #start(): Promise<void> {
    const runs = new Runs({
      info: this.#record.info,
      state: this.#state,
      connect: this.#connector(),
      startPipeline: this.#deps.startPipeline,
      bridge: () => this.#seat.join(),
      path: this.#path(),
      signal: this.#over.signal,
      onEnd: (cause) => this.#end(cause),
      logger: this.#logger,
    });
    // An earlier attempt has been in the room: its seat is kept for a while only.
    if (this.#state.current.roomId !== '') {
      this.#seat.join().catch((error: unknown) => this.#fail(error));
    }
    await runs.run();
  }

  #end(cause: Cause): void {
    if (this.#over.signal.aborted) return;
    this.#logger.debug({ cause }, 'ingress attempt ends');
    this.#cause.resolve(cause);
    this.#over.abort();
  }

  #fail(error: unknown): void {
    if (error instanceof BridgeRequestError && error.code === 'superseded') this.#end({ type: 'superseded' });
    else if (!this.#over.signal.aborted) this.#end({ type: 'fail', reason: messageOf(error) });
  }

  async #conclude(cause: Cause): Promise<IngressOutcome> {
    if (cause.type === 'hand-over') {
      await this.#seat.leave(true);
      await this.#state.flush();
      return 'handed-over';
    }
    if (cause.type === 'superseded') {
      this.#state.close();
      this.#logger.warn('superseded: the session is over, or a newer attempt goes on');
      await this.#seat.leave(await this.#goesOn());
      return 'superseded';
    }
    const [status, reason] = lastState(cause, this.#session.source.type);
    let ended: boolean;
    try {
      ended = await this.#state.end(status, reason);
    } catch (error) {
      await this.#seat.leave(true);
      throw error;
    }
    await this.#seat.leave(!ended && (await this.#goesOn()));
    if (!ended) return 'superseded';
    this.#logger.info({ reason, status: Status[status] }, 'ingress session ended');
    return 'ended';
  }

  /** Whether another attempt has the session, and will come for the seat; nobody holds an empty one for long. */
  async #goesOn(): Promise<boolean> {
    try {
      const now = await this.#deps.store.get(this.#record.ingressId);
      return now?.session?.resourceId === this.#session.resourceId;
    } catch {
      return true;
    }
  }

  #path(): MediaPath {
    const { workerAddress, portRange } = this.#deps;
    return { ...rtpPath(this.#session.bridgeUrl, workerAddress), portRange };
  }

  #connector(): ConnectSource {
    const { source, bridgeUrl, attempt } = this.#session;
    const { createInput, bridgeToken } = this.#deps;
    if (source.type === 'direct') throw new Error('a direct session has no worker');
    if (source.type !== 'room') return byteSources(createInput(this.#session, this.#record));
    const identity = `${this.#record.ingressId}-transcoder`;
    return roomSources({
      bridgeUrl,
      token: () =>
        bridgeToken({
          ...{ room: source.roomName, identity, name: '', metadata: '', role: 'subscribe' },
          job: { id: this.#record.ingressId, attempt },
        }),
      attempt,
      identity: source.identity,
      path: this.#path(),
      logger: this.#logger,
    });
  }
}

/** What a session's end is to be seen as. Pure. */
function lastState(
  cause: Exclude<Cause, { type: 'superseded' } | { type: 'hand-over' }>,
  source: IngressSession['source']['type'],
): [Status, string] {
  if (cause.type === 'fail') return [Status.ENDPOINT_ERROR, cause.reason];
  // A push can come again; a URL is pulled once.
  const complete = cause.type === 'complete' && source === 'url';
  return [complete ? Status.ENDPOINT_COMPLETE : Status.ENDPOINT_INACTIVE, cause.reason];
}
