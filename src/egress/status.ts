/** EgressInfo of one attempt: every change goes through here, is saved in order, and only while the fence allows. */
import { setTimeout as delay } from 'node:timers/promises';
import type { EgressInfo } from '@livekit/protocol';
import { EgressStatus } from '@livekit/protocol';
import type { Logger } from 'pino';
import { StorageError } from '../storage/types.ts';
import type { EgressStore } from '../store/types.ts';
import { EgressAborted, EgressError } from './errors.ts';
import { setDeprecatedResult } from './info.ts';

/** Nanoseconds since the epoch, as EgressInfo has them. */
export function nowNs(ms: number = Date.now()): bigint {
  // As nanoseconds it would be beyond what a double holds exactly.
  return BigInt(Math.round(ms * 1e3)) * 1000n;
}

const END_REASON = 'End reason: ';
const PAUSED_SINCE = 'paused since ';
/** LiveKit's words and code for it. */
const LIMIT_REACHED = 'Session limit reached';
const LIMIT_CODE = 413;

/** The reason comes first, as LiveKit has it; the first one holds, and remarks stay. */
function withReason(reason: string, details: string): string {
  if (details.startsWith(END_REASON)) return details;
  return END_REASON + (details ? `${reason}; ${details}` : reason);
}

/** A newer attempt has taken over: stop at once and write nothing more. */
export class Superseded extends Error {
  constructor() {
    super('a newer attempt of this egress has taken over');
    this.name = 'Superseded';
  }
}

const RETRY_MS = 500;
/** How long Redis may take to say which attempt is the newest. */
const FENCE_MS = 2000;

export class StatusKeeper {
  readonly info: EgressInfo;
  readonly #store: EgressStore;
  readonly #attempt: number;
  readonly #logger: Logger;
  readonly #onSuperseded: () => void;
  #appliedRevision: number;
  #saving: Promise<void> = Promise.resolve();
  #dirty = false;
  #superseded = false;

  constructor(options: {
    store: EgressStore;
    info: EgressInfo;
    attempt: number;
    appliedRevision: number;
    logger: Logger;
    onSuperseded: () => void;
  }) {
    this.#store = options.store;
    this.info = options.info;
    this.#attempt = options.attempt;
    this.#appliedRevision = options.appliedRevision;
    this.#logger = options.logger;
    this.#onSuperseded = options.onSuperseded;
  }

  /** Applies `change` and saves it; saves are in order, and changes made meanwhile go out together. */
  update(change: (info: EgressInfo) => void): void {
    if (this.#superseded) return;
    change(this.info);
    setDeprecatedResult(this.info);
    this.info.updatedAt = nowNs();
    this.#dirty = true;
    this.#saving = this.#saving.then(() => this.#save());
  }

  /** The revision of the API's wishes that is now in force. */
  applied(revision: number): void {
    this.#appliedRevision = Math.max(this.#appliedRevision, revision);
    this.update(() => undefined);
  }

  /** Resolves when everything so far is stored. */
  async flush(): Promise<void> {
    await this.#saving;
  }

  /** Resolves when everything so far is stored: true; false when a newer attempt has taken over. */
  async saved(): Promise<boolean> {
    await this.#saving;
    return !this.#superseded;
  }

  /**
   * Whether this attempt holds the fence, as far as can be known now: while Redis is away nobody else can have
   * taken it.
   * @throws Superseded
   */
  async assertCurrent(): Promise<void> {
    const timer = new AbortController();
    const unknown = delay(FENCE_MS, undefined, { signal: timer.signal, ref: false }).catch(() => undefined);
    const read = this.#store.get(this.info.egressId).catch(() => undefined);
    const record = await Promise.race([read, unknown]);
    timer.abort();
    if (this.#superseded || (record !== undefined && record.attempt !== this.#attempt))
      throw new Superseded();
  }

  active(startedAtMs: number): void {
    if (this.info.status !== EgressStatus.EGRESS_STARTING) return;
    this.update((info) => {
      info.status = EgressStatus.EGRESS_ACTIVE;
      info.startedAt = nowNs(startedAtMs);
    });
    this.#logger.info('egress active');
  }

  /** Adds to `details` what whoever reads the result should know: a gap, a track that was left out. */
  remark(text: string): void {
    // Outputs of one log say the same of it.
    if (this.info.details.split('; ').includes(text)) return;
    this.update((info) => {
      info.details = info.details ? `${info.details}; ${text}` : text;
    });
  }

  /** Says in `details` that nothing is recorded, for as long as that is so. @param sinceMs undefined: it is again */
  paused(sinceMs: number | undefined): void {
    this.update((info) => {
      const parts = info.details.split('; ').filter((part) => part !== '' && !part.startsWith(PAUSED_SINCE));
      if (sinceMs !== undefined) parts.push(PAUSED_SINCE + new Date(sinceMs).toISOString());
      info.details = parts.join('; ');
    });
  }

  ending(reason: string): void {
    this.update((info) => {
      info.status = EgressStatus.EGRESS_ENDING;
      info.details = withReason(reason, info.details);
    });
    this.#logger.info({ reason }, 'egress ending');
  }

  /** What is left is finished and kept; a later attempt that finishes it ends as LIMIT_REACHED too. */
  limitReached(reason: string): void {
    this.update((info) => {
      info.error = `${LIMIT_REACHED}: ${reason}`;
      info.errorCode = LIMIT_CODE;
    });
    this.ending(`${LIMIT_REACHED}: ${reason}`);
  }

  /** COMPLETE, or LIMIT_REACHED after {@link limitReached}. @param endedAtMs wall clock of the last media. */
  complete(endedAtMs: number): void {
    const limited = this.info.errorCode === LIMIT_CODE;
    const status = limited ? EgressStatus.EGRESS_LIMIT_REACHED : EgressStatus.EGRESS_COMPLETE;
    this.update((info) => {
      info.status = status;
      info.endedAt = nowNs(endedAtMs);
    });
    this.#logger.info({ status: EgressStatus[status] }, 'egress ended');
  }

  /** Ends as FAILED or ABORTED by the kind of error. */
  fail(error: unknown): void {
    const aborted = error instanceof EgressAborted;
    const known = error instanceof EgressError || error instanceof StorageError || aborted;
    this.update((info) => {
      info.status = aborted ? EgressStatus.EGRESS_ABORTED : EgressStatus.EGRESS_FAILED;
      info.error = error instanceof Error ? error.message : String(error);
      info.errorCode = known ? error.code : 500;
      info.details = withReason(aborted ? 'Source closed' : 'Failure', info.details);
      info.endedAt = nowNs();
    });
    this.#logger.warn({ err: error, aborted }, 'egress did not complete');
  }

  async #save(): Promise<void> {
    if (!this.#dirty || this.#superseded) return;
    this.#dirty = false;
    const copy = this.info.clone();
    for (;;) {
      try {
        const allowed = await this.#store.saveInfo(copy.egressId, this.#attempt, copy, this.#appliedRevision);
        if (!allowed) {
          this.#superseded = true;
          this.#onSuperseded();
        }
        return;
      } catch (error) {
        // Redis is away: the egress goes on, and its state is stored when Redis is back.
        this.#logger.warn({ err: error }, 'egress state not stored yet');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }
}
