/** One run of the pipeline process of an egress that a browser draws: it outlives nothing of the page's. */
import type { Logger } from 'pino';
import type { PipelineHost } from '../pipeline/host.ts';
import { initFor } from './pipeline-run.ts';
import type { PipelineRunOptions, RunningPipeline } from './pipeline-run.ts';

export class PageRun implements RunningPipeline {
  readonly #host: PipelineHost;
  readonly #hasPicture: boolean;
  readonly #logger: Logger;
  #started = false;
  #stopping = false;

  /**
   * Starts the program on a process that has just come up, with the display the page is on now.
   * @throws when it cannot play, or the page is not shown any more
   */
  static async start(host: PipelineHost, options: PipelineRunOptions): Promise<PageRun> {
    const run = new PageRun(host, options);
    try {
      const init = initFor(
        options.plan,
        options.program,
        options.wanted,
        options.log,
        options.stage.background,
      );
      if (init.program !== 'composite' || !options.page) throw new Error('a page is encoded, not copied');
      const { display, xauthority, sound } = await options.page();
      await host.send({
        cmd: 'init',
        ...init,
        page: { display, xauthority, ...(sound && { sound }) },
        clockOffsetNs: Math.max(0, Date.now() - options.epochMs) * 1e6,
        epochMs: options.epochMs,
      });
      await host.send({ cmd: 'start' });
      if (!host.running) throw new Error(`the pipeline died at its start: ${host.exitReason ?? ''}`);
      run.#started = true;
      return run;
    } catch (error) {
      await run.kill();
      throw error;
    }
  }

  private constructor(host: PipelineHost, options: PipelineRunOptions) {
    this.#host = host;
    this.#hasPicture = options.plan.video !== null;
    this.#logger = options.logger;
    host.onEvent(options.onEvent);
    host.onTap(options.onTap);
    host.onExit((reason) => {
      // Before it has started, its death is start()'s to tell: nobody hears of it twice.
      if (this.#started && !this.#stopping) options.onDied(reason);
    });
  }

  get pid(): number | undefined {
    return this.#host.pid;
  }

  /** A page has no tracks. */
  sync(): void {
    // What it shows is its own affair.
  }

  /** There is nothing to wait for: a page is always there. */
  async flowing(): Promise<void> {
    await Promise.resolve();
  }

  /** Something is to be streamed that was not from the beginning. */
  async openTap(): Promise<void> {
    await this.#host.send({ cmd: 'openTap' });
  }

  /** Asks for a keyframe: a chunk begins there. */
  cut(): void {
    if (!this.#hasPicture) return;
    this.#host
      .send({ cmd: 'keyFrame' })
      .catch((error: unknown) => this.#logger.debug({ err: error }, 'no keyframe'));
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
