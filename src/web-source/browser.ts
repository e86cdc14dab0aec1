/** Chromium, told by DevTools over a pipe what to show; everything it loads comes through a proxy. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { DevTools, anything } from './devtools.ts';
import type { DevToolsEvent } from './devtools.ts';
import { PageError } from './errors.ts';
import { Tool, findIsolation } from './tools.ts';
import type { Workspace } from './workspace.ts';

/** Chromium's `--remote-debugging-pipe`: what it reads from, and what it writes to. */
const COMMANDS_FD = 3;
const EVENTS_FD = 4;
const READY_MS = 30_000;
const CLOSE_MS = 2_000;

export interface BrowserOptions {
  /** Path of Chromium, or a name in PATH. */
  program: string;
  workspace: Workspace;
  size: { width: number; height: number };
  display: string;
  /** PULSE_SERVER; undefined: the page is not heard. */
  sound: string | undefined;
  /** `127.0.0.1:port` of the proxy. */
  proxy: string;
  logger: Logger;
}

const targetInfo = z.object({ targetId: z.string(), type: z.string() });
const targetsSchema = z.object({ targetInfos: z.array(targetInfo) });
const createdSchema = z.object({ targetInfo });
const attachedSchema = z.object({ sessionId: z.string() });

export class Browser {
  readonly tool: Tool;
  readonly #devtools: DevTools;
  readonly #logger: Logger;
  readonly #listeners = new Set<(event: DevToolsEvent) => void>();
  #page: string | undefined;
  /** Why we have ended it. */
  #killed: string | undefined;

  /** Answers when its one page can be told what to show. @throws PageError when it is missing or does not come up */
  static async start(options: BrowserOptions): Promise<Browser> {
    findProgram(options.program);
    const browser = new Browser(options);
    try {
      await browser.#prepare();
      return browser;
    } catch (cause) {
      const lost = browser.tool.running ? undefined : (await browser.tool.child.exited).reason;
      await browser.close();
      const why = lost ?? (cause instanceof Error ? cause.message : String(cause));
      throw new PageError(`the browser does not come up: ${why}`, 'machine', { cause });
    }
  }

  private constructor({ program, workspace, size, display, sound, proxy, logger }: BrowserOptions) {
    this.#logger = logger;
    this.tool = new Tool({
      command: [program, ...flags({ size, proxy, sound, profile: workspace.profile, logger })],
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
      workspace,
      env: {
        DISPLAY: display,
        XAUTHORITY: workspace.xauthority,
        ...(sound === undefined ? {} : { PULSE_SERVER: sound }),
      },
      logger: logger.child({ tool: 'Chromium' }),
    });
    this.#devtools = new DevTools(
      this.tool.child.writable(COMMANDS_FD),
      this.tool.child.readable(EVENTS_FD),
      { onEvent: (event) => this.#onEvent(event), onBroken: (reason) => this.kill(reason) },
    );
    void this.tool.child.exited.then(({ reason }) => this.#devtools.close(`the browser is gone: ${reason}`));
  }

  /** Whether it can be told anything. */
  get usable(): boolean {
    return this.tool.running && this.#killed === undefined && !this.#devtools.closed;
  }

  /** Calls back when it is gone without having been asked, also by {@link kill}. */
  onLost(listener: (reason: string) => void): void {
    this.tool.onLost(({ reason }) => listener(this.#killed ?? `the browser is gone: ${reason}`));
  }

  /** Ends it at once, as one that is of no use. */
  kill(reason: string): void {
    this.#killed ??= reason;
    void this.tool.child.kill(reason);
  }

  /** Events of the page. @returns stops it */
  onPageEvent(listener: (event: DevToolsEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @throws DevToolsError */
  send<T>(method: string, params: object, schema: z.ZodType<T>, timeoutMs?: number): Promise<T> {
    return this.#devtools.send(method, params, schema, {
      sessionId: this.#page,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  }

  /** Ends it, and everything it has started. */
  async close(): Promise<void> {
    if (this.tool.running) {
      await this.#devtools
        .send('Browser.close', {}, anything, { timeoutMs: CLOSE_MS })
        .catch(() => undefined);
    }
    await this.tool.end();
    this.#devtools.close('the browser was closed');
  }

  async #prepare(): Promise<void> {
    const send = <T>(method: string, params: object, schema: z.ZodType<T>): Promise<T> =>
      this.#devtools.send(method, params, schema, { timeoutMs: READY_MS });
    const { targetInfos } = await send('Target.getTargets', {}, targetsSchema);
    const page = targetInfos.find(({ type }) => type === 'page');
    if (!page) throw new PageError('the browser has opened no page', 'machine');
    const { targetId } = page;
    const attached = await send('Target.attachToTarget', { targetId, flatten: true }, attachedSchema);
    this.#page = attached.sessionId;
    for (const domain of ['Page', 'Runtime', 'Network', 'Inspector'])
      await this.send(`${domain}.enable`, {}, anything, READY_MS);
    await send('Browser.setDownloadBehavior', { behavior: 'deny' }, anything);
    // Last: from here on every page but this one is a window somebody has opened over it.
    await send('Target.setDiscoverTargets', { discover: true }, anything);
  }

  #onEvent(event: DevToolsEvent): void {
    if (event.method === 'Target.targetCreated') {
      const { data } = createdSchema.safeParse(event.params);
      if (data?.targetInfo.type === 'page') this.#closeOthers(data.targetInfo.targetId);
      return;
    }
    if (event.sessionId === undefined || event.sessionId !== this.#page) return;
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** What the page opens in windows of their own would cover it. */
  #closeOthers(targetId: string): void {
    const attached = z.object({ targetInfo: z.object({ attached: z.boolean() }) });
    this.#devtools
      .send('Target.getTargetInfo', { targetId }, attached)
      .then(async ({ targetInfo: info }) => {
        if (info.attached) return;
        await this.#devtools.send('Target.closeTarget', { targetId }, anything);
        this.#logger.info('a window that the page has opened was closed');
      })
      .catch((error: unknown) => this.#logger.debug({ err: error }, 'a window was not closed'));
  }
}

/** @throws PageError that says what to install */
function findProgram(program: string): void {
  const folders = program.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  if (folders.some((folder) => existsSync(join(folder, program)))) return;
  throw new PageError(
    `there is no ${program}: install Chromium, or set egress.web.chromium to where it is`,
    'machine',
  );
}

interface FlagOptions {
  size: { width: number; height: number };
  proxy: string;
  sound: string | undefined;
  profile: string;
  logger: Logger;
}

function flags({ size, proxy, sound, profile, logger }: FlagOptions): string[] {
  return [
    '--remote-debugging-pipe',
    `--user-data-dir=${profile}`,
    ...['--kiosk', '--window-position=0,0', `--window-size=${size.width},${size.height}`],
    ...['--hide-scrollbars', '--force-device-scale-factor=1', '--force-color-profile=srgb'],
    ...['--autoplay-policy=no-user-gesture-required', '--deny-permission-prompts'],
    // Nobody looks at the window: drawing and timers must not slow down for it.
    ...['--disable-background-timer-throttling', '--disable-renderer-backgrounding'],
    '--disable-backgrounding-occluded-windows',
    // Everything goes through the proxy, also to this machine's own addresses; what cannot does not go at all.
    ...[`--proxy-server=http://${proxy}`, '--proxy-bypass-list=<-loopback>', '--disable-quic'],
    ...['--webrtc-ip-handling-policy=disable_non_proxied_udp', '--dns-prefetch-disable'],
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    // Nothing of its own accord.
    ...['--no-first-run', '--no-default-browser-check', '--disable-background-networking'],
    ...['--disable-component-update', '--disable-sync', '--disable-default-apps', '--disable-extensions'],
    ...['--disable-breakpad', '--disable-client-side-phishing-detection', '--metrics-recording-only'],
    ...['--no-service-autorun', '--password-store=basic', '--use-mock-keychain', '--disable-infobars'],
    '--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider,AutofillServerCommunication',
    // Drawn by the processor: an Xvfb has no GPU. /dev/shm is small in containers.
    ...['--disable-gpu', '--disable-dev-shm-usage', '--ozone-platform=x11'],
    ...(sound === undefined ? ['--mute-audio'] : []),
    ...(findIsolation(logger).sandbox ? [] : ['--no-sandbox', '--test-type']),
    'about:blank',
  ];
}
