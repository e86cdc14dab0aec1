/** A page without the rest of an egress: only heard, only seen, and what it may do to hold things up. */
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AudioEncoding, VideoEncoding } from '../../pipelines/shared/protocol.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport } from '../../src/demo/content/analyse.ts';
import { createAddressPolicy } from '../../src/outbound/index.ts';
import { PageError, WebSource } from '../../src/web-source/index.ts';
import type { WebSourceOptions } from '../../src/web-source/index.ts';
import { capturedLogger } from '../support/captured-logger.ts';
import { AAC, TestPipeline, X264 } from '../support/pipeline.ts';
import { silentLogger } from '../support/sfu.ts';
import { startWebPages } from '../support/web-pages.ts';
import type { WebPages } from '../support/web-pages.ts';

const SIZE = { width: 640, height: 360 };

/** Waits for it for as long as the test has. */
async function until(what: () => boolean): Promise<void> {
  while (!what()) await sleep(20);
}

/** Of what it is shown on, and of what shows it, in this order. */
type Processes = readonly number[];

/** The processes that draw pages of this browser. */
function renderers(browser: number): number[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,pgid=,args='], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => {
    const [, pid, group, args = ''] = /^\s*(\d+)\s+(\d+) (.*)$/.exec(line) ?? [];
    return Number(group) === browser && args.includes('--type=renderer') ? [Number(pid)] : [];
  });
}

/** What an X server says first to who shows it no cookie: 0 no, 1 come in, 2 show one. */
async function greeting(display: string): Promise<number | undefined> {
  const socket = connect(`/tmp/.X11-unix/X${display.slice(1)}`);
  // Byte order, version 11.0, and no authorization's name and data.
  socket.write(Buffer.from([0x6c, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer[0];
}

/** An address of this machine that WebRTC would take for one of the network. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';
}

describe('a page', () => {
  let pages: WebPages;
  let fragile = 0;

  beforeAll(async () => {
    pages = await startWebPages({
      '/hangs': () => undefined,
      '/alert': (_, response) =>
        response
          .writeHead(200, { 'content-type': 'text/html' })
          .end(
            '<script>onload = () => { alert("stop"); console.log(location.href, location.search); console.log("START_RECORDING"); }</script>',
          ),
      '/unfinished': (_, response) =>
        response.writeHead(200, { 'content-type': 'text/html' }).end('<img src="/hangs?picture">'),
      // Begins when it has gathered its candidates, or has had time for it.
      '/webrtc': (_, response) =>
        response.writeHead(200, { 'content-type': 'text/html' }).end(`<script type="module">
          const urls = "stun:" + new URL(location).searchParams.get("stun");
          const peer = new RTCPeerConnection({ iceServers: [{ urls }] });
          peer.createDataChannel("any");
          await peer.setLocalDescription();
          while (peer.iceGatheringState !== "complete" && performance.now() < 3000)
            await new Promise((done) => setTimeout(done, 50));
          console.log("START_RECORDING");
        </script>`),
      // Loads, does not finish, loads, and is there no more; a minute goes by each time it is not.
      '/fragile': (_, response) => {
        const turn = ++fragile;
        if (turn > 3) vi.setSystemTime(Date.now() + 61_000);
        const picture = turn === 2 ? '<img src="/hangs?fragile">' : '';
        response.writeHead(turn > 3 ? 404 : 200, { 'content-type': 'text/html' }).end(
          `${picture}<script>addEventListener("sluice:layout", ({ detail }) =>
            fetch("/layout?turn=${turn}&layout=" + detail.layout));</script>`,
        );
      },
      '/silent': (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>quiet'),
    });
  });

  afterAll(() => pages.close());

  /** Has it opened, and closed whatever happens; what its processes leave behind is an error. */
  async function withPage<T>(
    path: string,
    options: Partial<WebSourceOptions>,
    work: (source: WebSource, running: () => Processes) => Promise<T>,
  ): Promise<T> {
    const pids = new Set<number>();
    let latest: Processes = [];
    const source = new WebSource({
      ...{ program: process.env.CHROMIUM_BIN ?? 'chromium', url: pages.url + path, size: SIZE },
      ...{ sound: true, awaitStartSignal: false, loadTimeoutMs: 20_000, startTimeoutMs: 0, trusted: [] },
      policy: createAddressPolicy({
        ...{ allowNetworks: ['127.0.0.0/8'], setting: 'outbound.allow_networks', logger: silentLogger },
      }),
      onEnd: () => undefined,
      onFailure: () => undefined,
      onFatal: () => undefined,
      onProcesses: (running) => (latest = running).forEach((pid) => pids.add(pid)),
      logger: silentLogger,
      ...options,
    });
    try {
      return await work(source, () => latest);
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
    return withPage('/marked?color=yellow&fps=15', { sound }, async (source) => {
      await source.open();
      const { display, xauthority, sound: heard } = await source.surface();
      const page = { display, xauthority, ...(heard && { sound: heard }) };
      const pipeline = await TestPipeline.start({ program: 'composite', video, audio, page });
      try {
        await sleep(4000);
        await pipeline.stop();
        return await analyse(await pipeline.joined(), {
          tiles: [{ name: 'page', color: 'yellow', fps: 15 }],
        });
      } finally {
        await pipeline.close();
      }
    });
  }

  it('is only heard where no picture is asked for, and only seen where no sound is', async () => {
    const [heard, seen] = await Promise.all([
      recorded(true, null, AAC),
      recorded(false, { ...X264, framerate: 15 }, null),
    ]);
    expect([heard.video, heard.decodeErrors]).toEqual([null, []]);
    expect(heard.tiles[0]!.beeps.length).toBeGreaterThanOrEqual(2);
    expect([seen.audio, seen.decodeErrors]).toEqual([null, []]);
    expect(seen.tiles[0]!.color).toMatchObject({ closest: 'yellow' });
    expect(seen.tiles[0]!.read).toBeGreaterThan(10);
  });

  // The longest first: three run at once.
  it.concurrent('that fails while it is brought back is brought back, and given up in the end', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { logger, logged } = capturedLogger();
    const told: [string, boolean][] = [];
    const fatal = Promise.withResolvers<PageError>();
    const layouts = () => pages.requests.filter((path) => path.startsWith('/layout'));
    const options = {
      ...{ sound: false, loadTimeoutMs: 60_000, logger },
      onFailure: (reason: string, back: boolean) => void told.push([reason, back]),
      onFatal: fatal.resolve,
    };
    try {
      await withPage('/fragile', options, async (source, running) => {
        const opening = source.open();
        await source.tellLayout('speaker');
        await opening;
        await until(() => layouts().includes('/layout?turn=1&layout=speaker'));

        process.kill(running()[0]!, 'SIGKILL');
        await until(() => logged.some((line) => line.includes('a page failed')));
        const began = performance.now();
        await source.surface();
        expect(performance.now() - began, 'it is shown on something again, ms').toBeLessThan(10_000);

        await until(() => pages.requests.includes('/hangs?fragile'));
        expect(told, 'it is not back yet').toEqual([]);
        process.kill(running()[1]!, 'SIGKILL');
        await until(() => layouts().includes('/layout?turn=3&layout=speaker'));
        await until(() => told.length > 0);
        expect(told).toEqual([[expect.stringMatching(/^the display is gone/), true]]);

        const drawing = renderers(running()[1]!);
        expect(drawing).not.toEqual([]);
        for (const pid of drawing) process.kill(pid, 'SIGKILL');
        const gone = await fatal.promise;
        expect(gone.message).toBe(
          `the page could not be brought back, 3 times in a row: the page at ${pages.host} cannot be recorded: its server answered 404`,
        );
        expect([fragile, told.length]).toEqual([6, 1]);
      });
    } finally {
      vi.useRealTimers();
    }
  });

  it.concurrent('cannot hold up its recording with a dialog, nor say secrets of its address', async () => {
    const { logger, logged } = capturedLogger();
    const path = '/alert?token=TOPSECRET-one&key=TOPSECRET-two';
    await withPage(path, { awaitStartSignal: true, startTimeoutMs: 20_000, logger }, (source) =>
      source.open(),
    );
    const said = logged.filter((line) => line.includes('the page says'));
    expect(said.join('\n')).toMatch(/\/alert\?token=/);
    expect(logged.join('\n')).not.toContain('TOPSECRET');
  });

  it.concurrent(
    'does not get past its proxy by WebRTC, nor anybody else to its display and sound',
    async () => {
      const stun = createSocket('udp4').bind(0, '0.0.0.0');
      let heard = 0;
      stun.on('message', () => heard++);
      await once(stun, 'listening');
      const path = `/webrtc?stun=${ownAddress()}:${stun.address().port}`;
      try {
        await withPage(path, { awaitStartSignal: true, startTimeoutMs: 20_000 }, async (source) => {
          await source.open();
          expect(heard, 'packets past the proxy').toBe(0);
          const { display, xauthority, sound } = await source.surface();
          expect(await greeting(display)).toBe(0);
          const closed = [xauthority, dirname(sound!.server.replace(/^unix:/, ''))];
          for (const file of closed) expect(statSync(file).mode & 0o077, file).toBe(0);
        });
      } finally {
        stun.close();
      }
    },
  );

  it.concurrent('has to begin in time where there is one', async () => {
    const opened = withPage('/silent', { awaitStartSignal: true, startTimeoutMs: 300 }, (source) =>
      source.open(),
    );
    await expect(opened).rejects.toThrow(new PageError('the page did not send START_RECORDING within 0.3 s'));
  });

  it.concurrent.each([
    ['/hangs', '/hangs'],
    ['/unfinished', '/hangs?picture'],
  ])('is let go of at once while it loads: %s', async (path, asked) => {
    const opened = withPage(path, { sound: false }, async (source) => {
      const failed = source.open().catch((error: unknown) => error);
      await until(() => pages.requests.includes(asked));
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
