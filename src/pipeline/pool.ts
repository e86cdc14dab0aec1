/**
 * Keeps one pipeline process up and initialised, so that an egress need not wait for gjs to start and GStreamer to
 * load its plugins (about 0.1 s idle, several times that on a busy machine).
 */
import type { Logger } from 'pino';
import { egressProtocol, type EgressTypes } from './egress-protocol.ts';
import { PipelineHost } from './host.ts';
import type { ProgramProtocol, ProgramTypes } from './program-protocol.ts';

/** Of one program. */
export class PipelinePool<T extends ProgramTypes = EgressTypes> {
  readonly #logger: Logger;
  readonly #start: () => Promise<PipelineHost<T>>;
  #spare: Promise<PipelineHost<T>> | undefined;
  #closed = false;

  /** A pool of the egress program. */
  static egress(options: { logger: Logger; program?: string }): PipelinePool {
    return new PipelinePool(egressProtocol, options);
  }

  constructor(protocol: ProgramProtocol<T>, options: { logger: Logger; program?: string }) {
    this.#logger = options.logger;
    this.#start = () => PipelineHost.startProgram(protocol, options);
  }

  /** A process that is ready to be initialised; the caller owns it. Another one is made in its place. */
  async take(): Promise<PipelineHost<T>> {
    if (this.#closed) throw new Error('the pipeline pool is closed');
    const spare = this.#spare;
    this.#spare = undefined;
    const host = await this.#alive(spare);
    this.#refill();
    return host;
  }

  /** Answers when a spare is up. @throws Error if none comes up: gjs or GStreamer is missing, or not built */
  async warm(): Promise<void> {
    this.#refill();
    await this.#spare;
  }

  /** Ends the spare. Processes that have been taken are their owners'. */
  async close(): Promise<void> {
    this.#closed = true;
    const spare = await this.#spare?.catch(() => undefined);
    this.#spare = undefined;
    await spare?.kill('not needed');
  }

  async #alive(spare: Promise<PipelineHost<T>> | undefined): Promise<PipelineHost<T>> {
    const host = await spare?.catch(() => undefined);
    return host?.running ? host : this.#start();
  }

  #refill(): void {
    if (this.#spare || this.#closed) return;
    const spare = this.#start();
    this.#spare = spare;
    // One that fails is not kept; the next take() starts its own and tells its caller.
    spare.catch((error: unknown) => {
      this.#logger.warn({ err: error }, 'no spare pipeline process');
      if (this.#spare === spare) this.#spare = undefined;
    });
  }
}
