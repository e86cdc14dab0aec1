/** One run of the pipeline process of an egress that a browser draws: it outlives nothing of the page's. */
import type { Logger } from 'pino';
import type { PipelineHost } from '../pipeline/host.ts';
import { initFor } from './pipeline-run.ts';
import type { PipelineRunOptions, RunningPipeline } from './pipeline-run.ts';
import { ProgramProcess } from './program-process.ts';

export class PageRun implements RunningPipeline {
  readonly #process: ProgramProcess;
  readonly #hasPicture: boolean;
  readonly #logger: Logger;

  /**
   * Starts the program on a process that has just come up, with the display the page is on now.
   * @throws when it cannot play, or the page is not shown any more
   */
  static async start(host: PipelineHost, options: PipelineRunOptions): Promise<PageRun> {
    const run = new PageRun(host, options);
    try {
      const init = initFor(options);
      if (init.program !== 'composite' || !options.page) throw new Error('a page is encoded, not copied');
      const { display, xauthority, sound } = await options.page();
      const page = { display, xauthority, ...(sound && { sound }), ...(options.idle && { hidden: true }) };
      await run.#process.begin({ ...init, page });
      return run;
    } catch (error) {
      await run.kill();
      throw error;
    }
  }

  private constructor(host: PipelineHost, options: PipelineRunOptions) {
    this.#process = new ProgramProcess(host, options);
    this.#hasPicture = options.plan.video !== null;
    this.#logger = options.logger;
    host.onEvent(options.onEvent);
    host.onTap(options.onTap);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** A page has no tracks. */
  sync(): void {
    // What it shows is its own affair.
  }

  /** Black and silence in its place. A process that has died is started again as it is wanted then. */
  async hide(hidden: boolean): Promise<void> {
    await this.#process.hide(hidden).catch((error: unknown) => {
      this.#logger.warn({ err: error }, hidden ? 'page not hidden' : 'page not shown');
    });
  }

  /** There is nothing to wait for: a page is always there. */
  async flowing(): Promise<void> {
    await Promise.resolve();
  }

  openTap(): Promise<void> {
    return this.#process.openTap();
  }

  cut(): void {
    if (this.#hasPicture) this.#process.requestKeyFrame();
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#process.stop(deadlineMs);
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }
}
