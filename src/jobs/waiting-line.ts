/**
 * Says of jobs that wait for a worker where in the line they stand, and fails those that have waited too long. Every
 * server does; that two write the same changes nothing.
 */
import { EgressStatus, IngressState_Status } from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import { notTakenText, waitingText } from '../admission/waiting-text.ts';
import { isEnded } from '../egress/ended.ts';
import { nowNs } from '../egress/status.ts';
import type { IngressStore } from '../store/ingress-types.ts';
import type { EgressStore } from '../store/types.ts';
import type { AttemptId, EgressQueue, IngressQueue } from './queues.ts';

/** How often the line is walked along, ms. */
const WALK_MS = 1_000;
/** Those further back have to wait until they are told. */
const MAX_LINE = 1_000;
/** A job that has just been queued is about to be taken: nothing is said of it yet, ms. */
const NEW_MS = 500;
/** A walk that took longer, or came so late, had to wait for Redis, as the workers had, ms. */
const PROMPT_MS = 3_000;
/** After that workers have this long to take what waits before its deadline counts, ms. */
const WORKERS_FIRST_MS = 5_000;
/** EgressInfo.error_code of what found no worker. */
const RESOURCE_EXHAUSTED = 429;

/** A job in the line. */
interface Waiting extends AttemptId {
  queuedAtMs: number;
}

export interface WaitingLineOptions {
  store: Pick<EgressStore, 'get' | 'saveUntaken' | 'abortUntaken'>;
  queue: Pick<EgressQueue, 'waitingLine' | 'remove' | 'workerCount'>;
  ingressStore: Pick<IngressStore, 'get' | 'replaceState' | 'endSession'>;
  ingressQueue: Pick<IngressQueue, 'waitingLine' | 'remove' | 'workerCount'>;
  /** How long a job may wait; 0: for ever. */
  startDeadlineMs: number;
  logger: Logger;
}

export class WaitingLine {
  readonly #options: WaitingLineOptions;
  readonly #timer: NodeJS.Timeout;
  #walking = false;
  #walkedAt = performance.now();
  /** Since when Redis has answered promptly. */
  #wellSince = performance.now();

  /** Runs from now on. */
  constructor(options: WaitingLineOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#walk(), WALK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #walk(): Promise<void> {
    if (this.#walking) return;
    this.#walking = true;
    const { queue, ingressQueue, logger } = this.#options;
    try {
      const [egresses, ingresses] = await Promise.all([
        queue.waitingLine(MAX_LINE),
        ingressQueue.waitingLine(MAX_LINE),
      ]);
      const now = performance.now();
      if (now - this.#walkedAt > PROMPT_MS) this.#wellSince = now;
      this.#walkedAt = now;
      let position = 1;
      for (const waiting of egresses) if (await this.#egress(waiting, position)) position++;
      position = 1;
      for (const waiting of ingresses) if (await this.#ingress(waiting, position)) position++;
    } catch (error) {
      this.#wellSince = performance.now();
      logger.warn({ err: error }, 'waiting jobs not looked at');
    } finally {
      this.#walking = false;
    }
  }

  #isLate(waiting: Waiting): boolean {
    const { startDeadlineMs } = this.#options;
    if (startDeadlineMs === 0 || ageOf(waiting) < startDeadlineMs) return false;
    const now = performance.now();
    // Redis may have gone since this walk began.
    if (now - this.#walkedAt > PROMPT_MS) return false;
    return now - this.#wellSince >= Math.min(WORKERS_FIRST_MS, startDeadlineMs);
  }

  /** @returns whether it stands in the line still */
  async #egress(waiting: Waiting, position: number): Promise<boolean> {
    const { store, queue, logger, startDeadlineMs } = this.#options;
    const { id, attempt } = waiting;
    const record = await store.get(id);
    if (!record || isEnded(record.info.status) || record.attempt > attempt) {
      await queue.remove(id, attempt);
      return false;
    }
    // What has begun has its own story in its details, and is never given up.
    if (record.attempt !== 0) return true;
    const { info } = record;
    if (this.#isLate(waiting)) {
      const reason = notTakenText(startDeadlineMs / 1000, await queue.workerCount());
      if (!(await store.abortUntaken(id, notTaken(info, reason)))) return false;
      await queue.remove(id, attempt);
      logger.warn({ egressId: id, reason }, 'egress failed: no worker took it');
      return false;
    }
    const details = waitingText(position);
    if (ageOf(waiting) < NEW_MS || info.details === details) return true;
    info.details = details;
    info.updatedAt = nowNs();
    return store.saveUntaken(id, info);
  }

  /** The same for a session of an ingress. */
  async #ingress(waiting: Waiting, position: number): Promise<boolean> {
    const { ingressStore: store, ingressQueue: queue, logger, startDeadlineMs } = this.#options;
    const { id, attempt } = waiting;
    const record = await store.get(id);
    const state = record?.info.state;
    if (record?.session?.attempt !== attempt || !state) {
      await queue.remove(id, attempt);
      return false;
    }
    const next = state.clone();
    next.updatedAt = nowNs();
    if (this.#isLate(waiting)) {
      next.error = notTakenText(startDeadlineMs / 1000, await queue.workerCount());
      next.status = IngressState_Status.ENDPOINT_ERROR;
      next.endedAt = next.updatedAt;
      // Whoever takes it in this moment finds its session over.
      if (!(await queue.remove(id, attempt))) return false;
      await store.endSession(id, attempt, next);
      logger.warn({ ingressId: id, reason: next.error }, 'ingress ended: no worker took it');
      return false;
    }
    next.error = waitingText(position);
    const told = ageOf(waiting) < NEW_MS || next.error === state.error;
    if (told || state.status !== IngressState_Status.ENDPOINT_BUFFERING) return true;
    await store.replaceState(id, attempt, state, next);
    return true;
  }
}

/** How long it has waited, ms. */
function ageOf({ queuedAtMs }: Waiting): number {
  return Date.now() - queuedAtMs;
}

/** A copy that says nobody took it. */
function notTaken(info: EgressInfo, reason: string): EgressInfo {
  const copy = info.clone();
  copy.status = EgressStatus.EGRESS_FAILED;
  copy.error = reason;
  copy.errorCode = RESOURCE_EXHAUSTED;
  copy.details = 'End reason: Start deadline';
  copy.endedAt = copy.updatedAt = nowNs();
  return copy;
}
