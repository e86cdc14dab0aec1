/**
 * A page as something to record: it is opened, says when it begins and ends, and is brought back when it or what it is
 * shown on dies, while the recording goes on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { AddressPolicy } from '../outbound/index.ts';
import { Browser } from './browser.ts';
import { PageEndedEarly, PageError } from './errors.ts';
import { Page } from './page.ts';
import type { PageSignal } from './page.ts';
import { Patience } from './patience.ts';
import { Rig } from './rig.ts';
import type { Surface } from './rig.ts';

/** What dies together is brought back together. */
const SETTLE_MS = 200;
const NOT_SHOWN = 'the page is not shown any more';

export interface WebSourceOptions {
  /** Chromium: a path, or a name in PATH. */
  program: string;
  /** With everything that is secret in it: never logged, never on a command line. */
  url: string;
  /** Pixels. */
  size: { width: number; height: number };
  /** False: the page is not heard. */
  sound: boolean;
  /** It is recorded from START_RECORDING on; otherwise as soon as it has loaded. */
  awaitStartSignal: boolean;
  /** How long it may take to load, ms. */
  loadTimeoutMs: number;
  /** How long it may take to START_RECORDING, ms; 0: for ever. */
  startTimeoutMs: number;
  policy: AddressPolicy;
  /** `host:port` the page may reach whatever the policy says. */
  trusted: readonly string[];
  /** The page has sent END_RECORDING. */
  onEnd: () => void;
  /**
   * It was away for a moment of the recording, for this reason.
   * @param back whether it was brought back; otherwise it was closed before it was
   */
  onFailure: (reason: string, back: boolean) => void;
  /** It cannot be brought back. Called once, after {@link WebSource.open} has answered. */
  onFatal: (error: PageError) => void;
  /** The processes it runs in now. */
  onProcesses: (pids: readonly number[]) => void;
  logger: Logger;
}

export class WebSource {
  readonly #options: WebSourceOptions;
  readonly #patience = new Patience();
  readonly #started = Promise.withResolvers<undefined>();
  #rig: Rig | undefined;
  #browser: Browser | undefined;
  #page: Page | undefined;
  #work: Promise<void> = Promise.resolve();
  /** Asked for by whoever waits for a display. */
  #rigUp: PromiseWithResolvers<undefined> | undefined;
  /** The last one that was told. */
  #layout: string | undefined;
  #opened = false;
  #restoring = false;
  /** Why the page is away; undefined: it is there, or was given up. */
  #away: string | undefined;
  /** What went wrong with the newest part while it was brought back. */
  #meanwhile: string | undefined;
  #givenUp = false;
  #closed = false;

  constructor(options: WebSourceOptions) {
    this.#options = options;
    this.#started.promise.catch(() => undefined);
  }

  /**
   * Answers when recording is to begin.
   * @throws PageError; PageEndedEarly; nothing is left running after {@link close}
   */
  async open(): Promise<void> {
    const { awaitStartSignal, startTimeoutMs } = this.#options;
    const timer = new AbortController();
    try {
      const built = this.#build();
      // It may go on loading when it is recorded already; then its failure is like any other.
      this.#work = built.catch((error: unknown) => {
        if (this.#opened) this.#failed(error instanceof Error ? error.message : String(error));
      });
      await Promise.race([built, this.#started.promise.then(() => undefined)]);
      // A page that says START_RECORDING before all of it has loaded is taken at its word.
      if (awaitStartSignal) {
        const late = async (): Promise<never> => {
          await sleep(startTimeoutMs, undefined, { signal: timer.signal });
          throw new PageError(`the page did not send START_RECORDING within ${startTimeoutMs / 1000} s`);
        };
        await (startTimeoutMs > 0 ? Promise.race([this.#started.promise, late()]) : this.#started.promise);
      }
      this.#opened = true;
    } finally {
      timer.abort();
    }
  }

  /**
   * Where the page is seen and heard now; waits while that, not the page, is being brought back.
   * @throws PageError when it is not brought back
   */
  async surface(): Promise<Surface> {
    if (!this.#rig?.running && this.#restoring && !this.#closed) {
      this.#rigUp ??= Promise.withResolvers();
      await this.#rigUp.promise;
    }
    if (!this.#rig || this.#closed) throw new PageError(NOT_SHOWN, 'machine');
    return this.#rig.surface;
  }

  /** Tells the page which layout is wanted, again whenever it has been loaded. */
  async tellLayout(layout: string): Promise<void> {
    this.#layout = layout;
    await this.#page?.tell('sluice:layout', { layout });
  }

  /** Ends everything; {@link open} throws if it has not answered. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#started.reject(new PageError('the page was closed', 'machine'));
    if (this.#away !== undefined) this.#options.onFailure(this.#away, false);
    this.#showNowhere(new PageError(NOT_SHOWN, 'machine'));
    // A page that is still loading would be waited for.
    this.#page?.close();
    await this.#browser?.close();
    await this.#work;
    await this.#tearDown();
  }

  /** Asked again after every wait. */
  #over(): boolean {
    return this.#closed;
  }

  async #tearDown(): Promise<void> {
    this.#page?.close();
    await this.#browser?.close();
    await this.#rig?.close();
    this.#page = this.#browser = this.#rig = undefined;
  }

  /** Brings up what is missing, and loads the page. @throws PageError */
  async #build(): Promise<void> {
    const { size, sound, policy, trusted, program, url, loadTimeoutMs, logger } = this.#options;
    if (!this.#rig?.running) {
      await this.#tearDown();
      if (this.#over()) return;
      const rig = await Rig.start({ size, sound, policy, trusted, logger }).catch((error: unknown) => {
        this.#showNowhere(error);
        throw error;
      });
      this.#rig = rig;
      rig.onLost((reason) => rig === this.#rig && this.#failed(reason));
      this.#rigUp?.resolve(undefined);
      this.#rigUp = undefined;
    }
    const { workspace, screen, sound: heard, proxy } = this.#rig;
    if (!this.#browser?.usable) {
      this.#page?.close();
      // Its profile is the next one's.
      await this.#browser?.close();
      if (this.#over()) return;
      const browser = await Browser.start({
        ...{ program, workspace, size, logger, display: screen.display },
        ...{ sound: heard?.server, proxy: proxy.address },
      });
      this.#browser = browser;
      browser.onLost((reason) => browser === this.#browser && this.#failed(reason));
      this.#page = new Page(
        browser,
        {
          onSignal: (signal) => this.#onSignal(signal),
          onCrash: (reason) => this.#failed(reason),
        },
        logger,
      );
    }
    if (this.#over()) return;
    const pids = [...this.#rig.pids, this.#browser.tool.pid].filter((pid) => pid !== undefined);
    this.#options.onProcesses(pids);
    await this.#page?.load(url, loadTimeoutMs, (host) => proxy.failureOf(host));
    // The address has the layout it was opened with.
    if (this.#layout !== undefined) void this.#page?.tell('sluice:layout', { layout: this.#layout });
  }

  /** Nobody is to wait for a display. */
  #showNowhere(error: unknown): void {
    this.#rigUp?.reject(error);
    this.#rigUp = undefined;
  }

  #onSignal(signal: PageSignal): void {
    if (signal === 'start') this.#started.resolve(undefined);
    else if (this.#opened) this.#options.onEnd();
    else {
      // Recorded at once if it has started, and ended at once: whoever comes second hears of both.
      this.#started.reject(new PageEndedEarly('the page sent END_RECORDING before it was recorded'));
      this.#started.promise.then(
        () => this.#options.onEnd(),
        () => undefined,
      );
    }
  }

  #failed(reason: string): void {
    if (this.#over() || this.#givenUp) return;
    if (!this.#opened) {
      // Nothing is recorded yet: whoever has asked for it hears of it.
      this.#started.reject(new PageError(reason));
      return;
    }
    if (this.#restoring) {
      this.#meanwhile = reason;
      return;
    }
    this.#options.logger.warn({ reason }, 'a page failed');
    const enough = this.#patience.failed();
    if (enough === undefined) {
      this.#away ??= reason;
      this.#restoring = true;
      this.#work = this.#restore();
    } else {
      this.#givenUp = true;
      this.#away = undefined;
      const error = new PageError(`the page ${enough}: ${reason}`);
      this.#showNowhere(error);
      this.#options.onFatal(error);
    }
  }

  /** Never throws: what cannot be brought back is another failure. */
  async #restore(): Promise<void> {
    let again: string | undefined;
    try {
      await sleep(SETTLE_MS);
      if (!this.#over()) await this.#build();
    } catch (error) {
      again = error instanceof Error ? error.message : String(error);
    }
    if (this.#over()) return;
    this.#restoring = false;
    // What went down before it was brought up again was brought up with it.
    if (!this.#rig?.running || !this.#browser?.usable) again ??= this.#meanwhile ?? 'its processes are gone';
    this.#meanwhile = undefined;
    this.#patience.tried(again === undefined);
    if (again !== undefined) {
      this.#failed(again);
      return;
    }
    const reason = this.#away ?? '';
    this.#away = undefined;
    this.#options.onFailure(reason, true);
  }
}
