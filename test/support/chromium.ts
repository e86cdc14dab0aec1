import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';

/**
 * Flags of the test browser. Fake devices stand for camera and microphone, playback needs no click, nothing
 * calls home. A throttled background page would stop drawing, so throttling is off as well.
 */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
];

export interface TestBrowser {
  readonly context: BrowserContext;
  /** A new tab; an error that a page throws is printed with the tab's name. */
  newPage(name?: string): Promise<Page>;
  /** Closes the browser and removes its user data. Safe to call twice. */
  close(): Promise<void>;
}

export interface LaunchOptions {
  /** Default `/usr/bin/chromium`, or `CHROMIUM_BIN`. */
  executablePath?: string;
  /** Added to the flags above. */
  args?: string[];
}

/** Starts a real Chromium, headless, with a profile of its own in a temporary folder `sluice-chromium-*`. */
export async function launchChromium(options: LaunchOptions = {}): Promise<TestBrowser> {
  const profile = await mkdtemp(join(tmpdir(), 'sluice-chromium-'));
  let context: BrowserContext;
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: options.executablePath ?? process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
      headless: true,
      args: [...FLAGS, ...(options.args ?? [])],
      permissions: ['camera', 'microphone'],
    });
  } catch (error) {
    await rm(profile, { recursive: true, force: true });
    throw error;
  }
  let closing: Promise<void> | undefined;
  return {
    context,
    async newPage(name = 'page') {
      const page = await context.newPage();
      page.on('pageerror', (error) => process.stderr.write(`[${name}] ${error.stack ?? error.message}\n`));
      return page;
    },
    close() {
      closing ??= (async () => {
        try {
          await context.close();
        } finally {
          await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
        }
      })();
      return closing;
    },
  };
}
