/** The process of a pipeline's program, from its `init` to its end, whatever it records. */
import type { Logger } from 'pino';
import type { Init } from '../../pipelines/shared/protocol.ts';
import type { PipelineHost } from '../pipeline/host.ts';

interface ProgramProcessOptions {
  logger: Logger;
  /** The process is gone without having been asked. */
  onDied: (reason: string) => void;
}

export class ProgramProcess {
  readonly #host: PipelineHost;
  readonly #logger: Logger;
  #started = false;
  #stopping = false;

  /** @param host has just come up */
  constructor(host: PipelineHost, { logger, onDied }: ProgramProcessOptions) {
    this.#host = host;
    this.#logger = logger;
    host.onExit((reason) => {
      // Before it has started, its death is begin()'s to tell: nobody hears of it twice.
      if (this.#started && !this.#stopping) onDied(reason);
    });
  }

  /** Of the process, while it runs. */
  get pid(): number | undefined {
    return this.#host.pid;
  }

  /** Whether it was asked to end. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** @throws when it cannot play */
  async begin(init: Init): Promise<void> {
    await this.#host.send({ cmd: 'init', ...init });
    await this.#host.send({ cmd: 'start' });
    if (!this.#host.running)
      throw new Error(`the pipeline died at its start: ${this.#host.exitReason ?? ''}`);
    this.#started = true;
  }

  /** Gives the running pipeline a tap: something is to be streamed that was not from the beginning. */
  async openTap(): Promise<void> {
    await this.#host.send({ cmd: 'openTap' });
  }

  /** Asks its encoder for a keyframe. */
  requestKeyFrame(): void {
    this.#host
      .send({ cmd: 'keyFrame' })
      .catch((error: unknown) => this.#logger.debug({ err: error }, 'no keyframe'));
  }

  /** Has it record black and silence in place of its page, or that again. */
  async hide(hidden: boolean): Promise<void> {
    await this.#host.send({ cmd: 'hide', hidden });
  }

  /** Flushes what was received into the log and ends the process; kills it after `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    await this.#host.stop(deadlineMs);
  }

  /** Ends the process at once. */
  async kill(): Promise<void> {
    this.#stopping = true;
    await this.#host.kill();
  }
}
