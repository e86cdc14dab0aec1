/** One page in a browser: opened, watched, listened to. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { redactText, secretsOf } from '../redact.ts';
import type { Browser } from './browser.ts';
import { DevToolsError, anything } from './devtools.ts';
import type { DevToolsEvent } from './devtools.ts';
import { PageError } from './errors.ts';

/** What a page may say on its console, LiveKit's words: exactly this, as one argument of any console call. */
const SIGNALS = { START_RECORDING: 'start', END_RECORDING: 'end' } as const;
export type PageSignal = (typeof SIGNALS)[keyof typeof SIGNALS];

/** A page that draws nothing at first is recorded all the same after this, ms. */
const PAINT_MS = 2_000;
/** How often a page is asked whether it lives, and when it is taken for hung, ms. */
const LOOK_MS = 5_000;
const HUNG_MS = 30_000;
/** Lines of its console that are logged, and characters of each. */
const MAX_LINES = 200;
const MAX_LINE = 500;

const consoleSchema = z.object({ args: z.array(z.object({ value: z.unknown().optional() })) });
const responseSchema = z.object({
  type: z.string(),
  frameId: z.string(),
  response: z.object({ status: z.number() }),
});
const navigatedSchema = z.object({ frameId: z.string(), errorText: z.string().optional() });

export interface PageEvents {
  onSignal: (signal: PageSignal) => void;
  /** It has crashed: it has to be loaded again. A load under way throws as well. */
  onCrash: (reason: string) => void;
}

interface Loading {
  timeoutMs: number;
  failureOf: (host: string) => string | undefined;
  /** Nobody waits any more. */
  signal: AbortSignal;
}

export class Page {
  readonly #browser: Browser;
  readonly #events: PageEvents;
  readonly #logger: Logger;
  readonly #stopListening: () => void;
  readonly #looks: NodeJS.Timeout;
  #lines = 0;
  /** Of its address: the page may say them. */
  #secrets: readonly string[] = [];
  /** By frame: what the server has answered for its document. */
  #statuses = new Map<string, number>();
  #loaded: (() => void) | undefined;
  /** Ends the load under way, whose page is there no more. */
  #gone: ((reason: PageError) => void) | undefined;
  #heardAt = performance.now();
  #loads = 0;

  constructor(browser: Browser, events: PageEvents, logger: Logger) {
    this.#browser = browser;
    this.#events = events;
    this.#logger = logger;
    this.#stopListening = browser.onPageEvent((event) => this.#onEvent(event));
    this.#looks = setInterval(() => void this.#look(), LOOK_MS);
    browser.onLost((reason) => this.#gone?.(new PageError(reason)));
  }

  /**
   * Answers when it has loaded and drawn itself.
   * @param failureOf what kept the proxy from reaching a host
   * @throws PageError, at once when the page crashes, its browser goes, or it is closed; shows the page's host only
   */
  async load(url: string, timeoutMs: number, failureOf: (host: string) => string | undefined): Promise<void> {
    this.#secrets = secretsOf(url);
    const turn = ++this.#loads;
    const { promise: gone, reject } = Promise.withResolvers<never>();
    gone.catch(() => undefined);
    this.#gone = reject;
    const over = new AbortController();
    try {
      await Promise.race([this.#open(url, { timeoutMs, failureOf, signal: over.signal }), gone]);
    } finally {
      over.abort();
    }
    this.#logger.info({ host: new URL(url).host, turn }, 'the page was loaded');
  }

  async #open(url: string, { timeoutMs, failureOf, signal }: Loading): Promise<void> {
    const { host } = new URL(url);
    const fail = (why: string): never => {
      throw new PageError(`the page at ${host} cannot be recorded: ${why}`);
    };
    const deadline = performance.now() + timeoutMs;
    const late = `it did not load within ${timeoutMs / 1000} s`;
    const loaded = new Promise<'loaded'>((resolve) => {
      this.#loaded = () => resolve('loaded');
    });
    this.#statuses = new Map();
    let navigated: z.infer<typeof navigatedSchema>;
    try {
      navigated = await this.#browser.send('Page.navigate', { url }, navigatedSchema, timeoutMs);
    } catch (error) {
      if (!(error instanceof DevToolsError)) throw error;
      // Why it is gone is told to whoever waits, when it is.
      if (!this.#browser.usable) await this.#browser.tool.child.exited;
      return fail(late);
    }
    const { frameId, errorText } = navigated;
    const refused = failureOf(host);
    if (refused !== undefined && (errorText !== undefined || (this.#statuses.get(frameId) ?? 0) >= 400))
      fail(refused);
    if (errorText !== undefined) fail(`the browser says ${errorText}`);
    this.#checkStatus(frameId, fail);
    const left = Math.max(0, deadline - performance.now());
    const ended = await Promise.race([
      loaded,
      sleep(left, 'late' as const, { signal }).catch(() => 'late' as const),
    ]);
    if (ended === 'late') fail(late);
    this.#checkStatus(frameId, fail);
    await this.#painted();
  }

  /** Tells the page something: an event of this name on its window. Never throws: it may not listen. */
  async tell(name: string, detail: object): Promise<void> {
    const expression = `window.dispatchEvent(new CustomEvent(${JSON.stringify(name)}, { detail: ${JSON.stringify(detail)} }))`;
    await this.#browser
      .send('Runtime.evaluate', { expression }, anything)
      .catch((error: unknown) => this.#logger.debug({ err: error }, 'the page was not told'));
  }

  /** A load under way throws. */
  close(): void {
    clearInterval(this.#looks);
    this.#stopListening();
    this.#gone?.(new PageError('the page was closed', 'machine'));
  }

  #checkStatus(frameId: string, fail: (why: string) => never): void {
    const status = this.#statuses.get(frameId);
    if (status !== undefined && status >= 400) fail(`its server answered ${status}`);
  }

  /** Two frames have been drawn since. */
  async #painted(): Promise<void> {
    const expression =
      'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))';
    await this.#browser
      .send('Runtime.evaluate', { expression, awaitPromise: true }, anything, PAINT_MS)
      .catch((error: unknown) => this.#logger.debug({ err: error }, 'the page has drawn nothing yet'));
  }

  /** A page that computes without end, or whose process stands still, answers nothing. */
  async #look(): Promise<void> {
    try {
      await this.#browser.send('Runtime.evaluate', { expression: '1' }, anything, LOOK_MS - 100);
      this.#heardAt = performance.now();
    } catch {
      if (performance.now() - this.#heardAt < HUNG_MS) return;
      this.#heardAt = performance.now();
      // What draws it would be asked in vain to draw another.
      this.#browser.kill(`the page has not answered for ${HUNG_MS / 1000} s`);
    }
  }

  #onEvent({ method, params }: DevToolsEvent): void {
    switch (method) {
      case 'Page.loadEventFired':
        this.#loaded?.();
        break;
      case 'Page.javascriptDialogOpening':
        // An alert would stop the page until somebody clicks.
        this.#browser
          .send('Page.handleJavaScriptDialog', { accept: true }, anything)
          .catch((error: unknown) => this.#logger.debug({ err: error }, 'a dialog was not closed'));
        break;
      case 'Inspector.targetCrashed':
        this.#gone?.(new PageError('the page crashed'));
        this.#events.onCrash('the page crashed');
        break;
      case 'Network.responseReceived': {
        const { data } = responseSchema.safeParse(params);
        if (data?.type === 'Document') this.#statuses.set(data.frameId, data.response.status);
        break;
      }
      case 'Runtime.consoleAPICalled':
        this.#console(params);
        break;
      default:
        break;
    }
  }

  #console(params: unknown): void {
    const { data } = consoleSchema.safeParse(params);
    for (const { value } of data?.args ?? []) {
      if (typeof value !== 'string') continue;
      if (Object.hasOwn(SIGNALS, value)) {
        this.#logger.info({ signal: value }, 'the page has given a signal');
        this.#events.onSignal(SIGNALS[value as keyof typeof SIGNALS]);
      } else if (this.#lines++ < MAX_LINES) {
        this.#logger.debug({ line: this.#shown(value) }, 'the page says');
      }
    }
  }

  #shown(said: string): string {
    const line = this.#secrets.reduce((text, secret) => text.replaceAll(secret, '{...}'), said);
    // A secret's name comes before it, so that half a secret is known too.
    return redactText(line.slice(0, MAX_LINE)).slice(0, MAX_LINE);
  }
}
