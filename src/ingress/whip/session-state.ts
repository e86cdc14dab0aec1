/** What the store is told of a session: one write after the other, and its end for certain. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PartialMessage } from '@bufbuild/protobuf';
import { IngressState } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { IngressSession, IngressStore } from '../../store/ingress-types.ts';
import { endSession } from '../end-session.ts';
import { inputState } from './state.ts';
import type { MeasuredTrack } from './state.ts';

const END_TRIES = 5;
const END_PAUSE_MS = 500;
const NS_PER_MS = 1_000_000n;

export interface Shown extends PartialMessage<IngressState> {
  /** Absent: what was measured last stays. */
  measured?: readonly MeasuredTrack[];
}

export class SessionState {
  readonly #store: Pick<IngressStore, 'get' | 'saveState' | 'endSession'>;
  readonly #ingressId: string;
  readonly #session: IngressSession;
  readonly #logger: Logger;
  #measured: readonly MeasuredTrack[] = [];
  #writing: Promise<unknown> = Promise.resolve();

  constructor(
    store: Pick<IngressStore, 'get' | 'saveState' | 'endSession'>,
    ingressId: string,
    session: IngressSession,
    logger: Logger,
  ) {
    this.#store = store;
    this.#ingressId = ingressId;
    this.#session = session;
    this.#logger = logger.child({ ingressId, resourceId: session.resourceId });
  }

  /** @returns false when the session is over. Never rejects: the next state may be written again. */
  save({ measured = this.#measured, ...shown }: Shown): Promise<boolean> {
    this.#measured = measured;
    const saving = this.#writing.then(async () => {
      try {
        const { attempt, resourceId, startedAtMs } = this.#session;
        const state = new IngressState({
          ...inputState(measured),
          startedAt: BigInt(startedAtMs) * NS_PER_MS,
          updatedAt: now(),
          resourceId,
          ...shown,
        });
        return await this.#store.saveState(this.#ingressId, attempt, state);
      } catch (err) {
        this.#logger.warn({ err }, 'state of an ingress could not be saved');
        return true;
      }
    });
    this.#writing = saving;
    return saving;
  }

  /**
   * The session is over, with whatever attempt it has by now. Never rejects: a lease that is not renewed runs out.
   * @param error empty: as it should
   */
  async end(error: string): Promise<void> {
    await this.#writing;
    const ingressId = this.#ingressId;
    const { resourceId } = this.#session;
    for (let tries = 1; tries <= END_TRIES; tries++) {
      try {
        if (await endSession(this.#store, ingressId, resourceId, error)) return;
      } catch (err) {
        this.#logger.warn({ err }, 'end of an ingress could not be saved');
      }
      if (tries < END_TRIES) await sleep(END_PAUSE_MS);
    }
    this.#logger.error('the end of an ingress session was not saved: its lease runs out');
  }
}

function now(): bigint {
  return BigInt(Date.now()) * NS_PER_MS;
}
