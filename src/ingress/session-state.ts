/** IngressState of one attempt: every change goes through here, is saved in order, and only while the fence allows. */
import type { IngressState, IngressState_Status } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { IngressStore } from '../store/ingress-types.ts';

const RETRY_MS = 500;
/** How long the last state may take to be stored while Redis is away. */
const END_DEADLINE_MS = 20_000;

export interface SessionStateOptions {
  store: Pick<IngressStore, 'saveState' | 'endSession'>;
  ingressId: string;
  attempt: number;
  /** How it is stored now. */
  state: IngressState;
  logger: Logger;
  /** The session is over, or a newer attempt has it: nothing more is written. */
  onSuperseded: () => void;
}

function nowNs(): bigint {
  // As nanoseconds it would be beyond what a double holds exactly.
  return BigInt(Date.now()) * 1_000_000n;
}

export class SessionState {
  readonly #options: SessionStateOptions;
  readonly #state: IngressState;
  #saving: Promise<void> = Promise.resolve();
  #dirty = false;
  #closed = false;

  constructor(options: SessionStateOptions) {
    this.#options = options;
    this.#state = options.state.clone();
  }

  get current(): Readonly<IngressState> {
    return this.#state;
  }

  /** Applies `change` and saves it; changes made while a save is under way go out together. */
  update(change: (state: IngressState) => void): void {
    if (this.#closed) return;
    change(this.#state);
    this.#state.updatedAt = nowNs();
    this.#dirty = true;
    this.#saving = this.#saving.then(() => this.#save());
  }

  /** Resolves when everything so far is stored, or is not to be any more. */
  async flush(): Promise<void> {
    await this.#saving;
  }

  /** Writes nothing from now on. */
  close(): void {
    this.#closed = true;
  }

  /** The session's last state. @returns false when it was over already, or somebody else's */
  async end(status: IngressState_Status, error: string): Promise<boolean> {
    if (this.#closed) return false;
    this.#closed = true;
    await this.#saving;
    const { store, ingressId, attempt, logger } = this.#options;
    Object.assign(this.#state, { status, error, tracks: [], endedAt: nowNs(), updatedAt: nowNs() });
    const deadline = performance.now() + END_DEADLINE_MS;
    for (;;) {
      try {
        return await store.endSession(ingressId, attempt, this.#state);
      } catch (err) {
        if (performance.now() > deadline) throw err;
        logger.warn({ err }, 'end of the ingress not stored yet');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #save(): Promise<void> {
    const { store, ingressId, attempt, logger, onSuperseded } = this.#options;
    while (this.#dirty && !this.#closed) {
      this.#dirty = false;
      try {
        if (await store.saveState(ingressId, attempt, this.#state.clone())) continue;
        this.#closed = true;
        onSuperseded();
      } catch (err) {
        // Redis is away: the ingress goes on, and its state is stored when Redis is back.
        logger.warn({ err }, 'ingress state not stored yet');
        this.#dirty = true;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }
}
