/// <reference lib="dom" />
/**
 * The 2x2 composite against a browser that draws the same grid: Chromium on Xvfb, plain video tags that play the
 * four streams over WHEP, taken off the screen by ximagesrc and encoded by the same x264 with the same settings.
 *
 * Every process counted on both sides: Chromium's, Xvfb and GStreamer on one; all of Sluice's beyond idling on the
 * other. mediasoup's part for the viewer is on the browser's side. Both without sound; only Sluice's side writes a file.
 *
 * Needs Debian's xvfb and chromium: `apt-get install xvfb chromium`.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput } from 'livekit-server-sdk';
import { chromium } from 'playwright-core';
import type { Page } from 'playwright-core';
import { h264Encoder } from '../pipelines/shared/encoders.ts';
import { DEFAULT_VIDEO } from '../src/egress/plan/presets.ts';
import { PacedGst } from './lib/gst.ts';
import { median, report, spread, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { between, PARTS, read } from './lib/parts.ts';
import { memory, named, processTree, spent, usage } from './lib/processes.ts';
import { finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';
import type { Parts } from './lib/room.ts';

const TARGET = 0.4;
const PEOPLE = 4;
const IDLE_MS = 6000;
const ROUND_MS = 8000;
const ROUNDS = 2;
const CPUS = 4;
const { width, height, framerate } = DEFAULT_VIDEO;

export async function main(): Promise<void> {
  for (const program of ['/usr/bin/Xvfb', '/usr/bin/chromium'])
    if (!existsSync(program)) throw new Error(`${program} is missing: apt-get install xvfb chromium`);
  await Owner.run(async (owner) => {
    const parts = await startParts(owner);
    const { sluice } = parts;
    await publishAll(owner, sluice, PEOPLE);
    await sleep(2000);
    const idle0 = read(parts);
    await sleep(IDLE_MS);
    const idle = between(idle0, read(parts));
    const beyondIdle = ({ seconds, cpu }: typeof idle, which: readonly (keyof typeof cpu)[]) =>
      which.reduce((sum, part) => sum + cpu[part] / seconds - idle.cpu[part] / idle.seconds, 0);

    const { egressId } = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      { file: new EncodedFileOutput({ filepath: 'bench/grid' }) },
      { layout: 'grid', videoOnly: true },
    );
    await untilActive(sluice, egressId);
    await sleep(3000);
    const ours: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = read(parts);
      await sleep(ROUND_MS);
      ours.push(beyondIdle(between(before, read(parts)), PARTS));
    }
    const ourMemory = memory(named(parts.workerPid, 'gjs'));
    await finish(sluice, egressId);

    const screen = await startScreen(owner);
    const page = await openGrid(owner, screen.display, parts);
    const capture = owner.own(
      await PacedGst.start(
        `ximagesrc display-name=${screen.display} use-damage=false show-pointer=false ! ` +
          `video/x-raw,framerate=${framerate}/1 ! videoconvert ! video/x-raw,format=I420 ! queue ! ` +
          `${h264Encoder(DEFAULT_VIDEO, CPUS)} ! fakesink`,
      ),
      (each) => each.stop(),
    );
    await sleep(3000);
    const roots = [screen.pid, capture.pid, ...topMost(named(process.pid, 'chrom'))];
    const theirs: number[] = [];
    const rates: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const [before, browser0, frames0] = [read(parts), usage(roots), await framesShown(page)];
      await sleep(ROUND_MS);
      const [after, browser1, frames1] = [read(parts), usage(roots), await framesShown(page)];
      capture.assertRunning();
      const window = between(before, after);
      const viewer = beyondIdle(window, ['mediasoup', 'server (Node)']);
      theirs.push(spent(browser0, browser1).total / window.seconds + viewer);
      rates.push(...frames1.map((count, index) => (count - (frames0[index] ?? 0)) / window.seconds));
    }
    if (rates.length < PEOPLE * ROUNDS || Math.min(...rates) < framerate / 3)
      throw new Error(
        `the browser does not play the grid: ${rates.map((rate) => rate.toFixed(1)).join()} fps`,
      );
    const theirMemory = memory(roots.flatMap((root) => processTree(root)));

    const ratios = ours.map((cores, round) => cores / theirs[round]!);
    report('2x2 grid at 1280x720, 30 fps', [
      ['', 'Sluice', 'Chromium + Xvfb + x264'],
      ['cores', spread(ours), spread(theirs)],
      ['PSS, MB', ourMemory.pss.toFixed(0), theirMemory.pss.toFixed(0)],
      ['RSS, MB', ourMemory.rss.toFixed(0), theirMemory.rss.toFixed(0)],
      ['frames/s a tag', '', spread(rates, 1)],
    ]);
    report('Ratio', [
      ['what', 'value', 'target', ''],
      ['CPU', spread(ratios), `≤ ${TARGET}`, verdict(median(ratios), TARGET)],
      ['memory (PSS)', (ourMemory.pss / theirMemory.pss).toFixed(2), '', ''],
    ]);
  });
}

/** Those whose parent is not in the list. */
function topMost(pids: readonly number[]): number[] {
  const below = new Set(pids.flatMap((pid) => processTree(pid).slice(1)));
  return pids.filter((pid) => !below.has(pid));
}

async function startScreen(owner: Owner): Promise<{ display: string; pid: number }> {
  // Xvfb picks a free display by itself and says which on file descriptor 3.
  const args = ['-displayfd', '3', '-screen', '0', `${width}x${height}x24`, '-nolisten', 'tcp'];
  const child: ChildProcess = spawn('Xvfb', args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  owner.own(child, async () => {
    if (child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  });
  const [number] = (await once(child.stdio[3]!, 'data')) as [Buffer];
  if (child.pid === undefined) throw new Error('Xvfb did not start');
  return { display: `:${number.toString().trim()}`, pid: child.pid };
}

async function openGrid(owner: Owner, display: string, { sluice }: Parts): Promise<Page> {
  const profile = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
    rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
  );
  const context = owner.own(
    await chromium.launchPersistentContext(profile, {
      executablePath: '/usr/bin/chromium',
      headless: false,
      viewport: null,
      env: { ...process.env, DISPLAY: display },
      args: [
        ...['--no-sandbox', '--disable-gpu', '--kiosk', '--no-first-run', '--disable-sync'],
        ...['--window-position=0,0', `--window-size=${width},${height}`],
        ...['--autoplay-policy=no-user-gesture-required', '--disable-background-networking'],
      ],
    }),
    (each) => each.close(),
  );
  const page = context.pages()[0] ?? (await context.newPage());
  // Any page of the server's origin will do; what is on it is replaced.
  await page.goto(`${sluice.url}/healthz`);
  const token = await sluice.token('viewer', { room: ROOM, canPublish: false, canSubscribe: true });
  await page.evaluate(watchGrid, { token, people: PEOPLE });
  return page;
}

/** Runs in the page: one peer connection, a muted video tag a quarter each. */
async function watchGrid({ token, people }: { token: string; people: number }): Promise<void> {
  document.body.innerHTML = '';
  document.body.style.cssText =
    'margin:0;background:#000;display:grid;grid-template:1fr 1fr/1fr 1fr;width:100vw;height:100vh';
  const connection = new RTCPeerConnection();
  for (let index = 0; index < people; index++) {
    const { receiver } = connection.addTransceiver('video', { direction: 'recvonly' });
    const video = document.createElement('video');
    video.style.cssText = 'width:100%;height:100%;object-fit:contain';
    video.autoplay = video.muted = true;
    video.srcObject = new MediaStream([receiver.track]);
    document.body.append(video);
  }
  await connection.setLocalDescription();
  const response = await fetch('/whep', {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/sdp' },
    body: connection.localDescription?.sdp ?? '',
  });
  const sdp = await response.text();
  if (!response.ok) throw new Error(sdp);
  await connection.setRemoteDescription({ type: 'answer', sdp });
}

/** Frames each tag has shown. */
function framesShown(page: Page): Promise<number[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('video')].map((video) => video.getVideoPlaybackQuality().totalVideoFrames),
  );
}
