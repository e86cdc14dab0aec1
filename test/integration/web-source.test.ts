/** A page without the rest of an egress: only heard, only seen, and what it may do to hold things up. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AudioEncoding, VideoEncoding } from '../../pipelines/shared/protocol.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport } from '../../src/demo/content/analyse.ts';
import { createAddressPolicy } from '../../src/outbound/index.ts';
import { PageError, WebSource } from '../../src/web-source/index.ts';
import type { WebSourceOptions } from '../../src/web-source/index.ts';
import { AAC, TestPipeline, X264 } from '../support/pipeline.ts';
import { silentLogger } from '../support/sfu.ts';
import { startWebPages } from '../support/web-pages.ts';
import type { WebPages } from '../support/web-pages.ts';

const SIZE = { width: 640, height: 360 };

describe('a page', () => {
  let pages: WebPages;

  beforeAll(async () => {
    pages = await startWebPages({
      '/hangs': () => undefined,
      '/alert': (_, response) =>
        response
          .writeHead(200, { 'content-type': 'text/html' })
          .end('<script>onload = () => { alert("stop"); console.log("START_RECORDING"); }</script>'),
      '/silent': (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>quiet'),
    });
  });

  afterAll(() => pages.close());

  /** Has it opened, and closed whatever happens; what its processes leave behind is an error. */
  async function withPage<T>(
    path: string,
    options: Partial<WebSourceOptions>,
    work: (source: WebSource) => Promise<T>,
  ): Promise<T> {
    const pids = new Set<number>();
    const source = new WebSource({
      ...{ program: process.env.CHROMIUM_BIN ?? 'chromium', url: pages.url + path, size: SIZE },
      ...{ sound: true, awaitStartSignal: false, loadTimeoutMs: 20_000, startTimeoutMs: 0, trusted: [] },
      policy: createAddressPolicy({
        ...{ allowNetworks: ['127.0.0.0/8'], setting: 'outbound.allow_networks', logger: silentLogger },
      }),
      onEnd: () => undefined,
      onFailure: () => undefined,
      onFatal: () => undefined,
      onProcesses: (running) => running.forEach((pid) => pids.add(pid)),
      logger: silentLogger,
      ...options,
    });
    try {
      return await work(source);
    } finally {
      await source.close();
      expect(pids.size, 'processes').toBeGreaterThan(1);
      expect([...pids].filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    }
  }

  function recorded(
    sound: boolean,
    video: (VideoEncoding & { background: string }) | null,
    audio: AudioEncoding | null,
  ): Promise<ContentReport> {
    return withPage('/marked?color=yellow', { sound }, async (source) => {
      await source.open();
      const { display, xauthority, sound: heard } = await source.surface();
      const page = { display, xauthority, ...(heard && { sound: heard }) };
      const pipeline = await TestPipeline.start({ program: 'composite', video, audio, page });
      try {
        await sleep(4000);
        await pipeline.stop();
        return await analyse(await pipeline.joined(), { tiles: [{ name: 'page', color: 'yellow' }] });
      } finally {
        await pipeline.close();
      }
    });
  }

  it('is only heard where no picture is asked for, and only seen where no sound is', async () => {
    const [heard, seen] = await Promise.all([recorded(true, null, AAC), recorded(false, X264, null)]);
    expect([heard.video, heard.decodeErrors]).toEqual([null, []]);
    expect(heard.tiles[0]!.beeps.length).toBeGreaterThanOrEqual(2);
    expect([seen.audio, seen.decodeErrors]).toEqual([null, []]);
    expect(seen.tiles[0]!.color).toMatchObject({ closest: 'yellow' });
    expect(seen.tiles[0]!.read).toBeGreaterThan(10);
  });

  it('cannot hold up its recording with a dialog', async () => {
    await withPage('/alert', { awaitStartSignal: true, startTimeoutMs: 20_000 }, (source) => source.open());
  });

  it('has to begin in time where there is one', async () => {
    const opened = withPage('/silent', { awaitStartSignal: true, startTimeoutMs: 300 }, (source) =>
      source.open(),
    );
    await expect(opened).rejects.toThrow(new PageError('the page did not send START_RECORDING within 0.3 s'));
  });

  it('is let go of at once while it loads', async () => {
    const opened = withPage('/hangs', {}, async (source) => {
      const failed = source.open().catch((error: unknown) => error);
      while (!pages.requests.includes('/hangs')) await sleep(20);
      const began = performance.now();
      await source.close();
      expect(performance.now() - began).toBeLessThan(8000);
      return failed;
    });
    expect(await opened).toBeInstanceOf(Error);
  });

  it('is not opened without a browser, and says what to install', async () => {
    const source = new WebSource({
      ...{ program: '/nowhere/chromium', url: pages.url, size: SIZE, sound: false },
      ...{ awaitStartSignal: false, loadTimeoutMs: 1000, startTimeoutMs: 0, trusted: [] },
      policy: createAddressPolicy({ allowNetworks: [], setting: '', logger: silentLogger }),
      onEnd: () => undefined,
      onFailure: () => undefined,
      onFatal: () => undefined,
      onProcesses: () => undefined,
      logger: silentLogger,
    });
    await expect(source.open()).rejects.toThrow(/there is no \/nowhere\/chromium: install Chromium/);
    await source.close();
  });
});
