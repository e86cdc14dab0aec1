/** Real Chromium publishes over WHIP and watches over WHEP, through a real SFU. */
import { observer } from 'mediasoup';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SfuTrack } from '../../src/sfu/types.ts';
import type { Played, PublishOptions, WatchOptions } from '../page/api.ts';
import { launchChromium } from '../support/chromium.ts';
import type { TestBrowser } from '../support/chromium.ts';
import { sleep, until } from '../support/sfu.ts';
import { startSignaling } from '../support/signaling-server.ts';
import type { SignalingServer } from '../support/signaling-server.ts';

let server: SignalingServer;
let browser: TestBrowser;
let count = 0;
const newRoom = () => `room-${count++}`;

/** All that are open in mediasoup. */
const routers = new Set<unknown>();
observer.on('newworker', (worker) => {
  worker.observer.on('newrouter', (router) => {
    routers.add(router);
    router.observer.once('close', () => routers.delete(router));
  });
});

beforeAll(async () => {
  server = await startSignaling({ timing: { lostTimeoutMs: 4000 } });
  browser = await launchChromium();
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

/** As behind a firewall that lets no UDP through. */
async function withoutUdp(page: Page): Promise<void> {
  await page.route(/\/wh[ie]p$/, async (route) => {
    const response = await route.fetch();
    const answer = await response.text();
    await route.fulfill({ response, body: answer.replaceAll(/a=candidate:\S+ 1 udp .*\r\n/g, '') });
  });
}

/** Used, and free: a new one costs a process, which takes longer to start than most tests here take. */
const free: Page[] = [];
async function release(...pages: Page[]): Promise<void> {
  await Promise.all(pages.map((page) => page.goto('about:blank')));
  free.push(...pages);
}

async function open(name: string, { tcp = false } = {}): Promise<Page> {
  const page = (tcp ? undefined : free.pop()) ?? (await browser.newPage(name));
  if (tcp) await withoutUdp(page);
  await page.goto(server.url);
  await page.waitForFunction(() => 'sluice' in globalThis);
  return page;
}

async function publish(
  room: string,
  identity: string,
  { tcp = false, ...options }: Omit<PublishOptions, 'token'> & { tcp?: boolean } = {},
): Promise<Page> {
  const page = await open(`publisher ${identity}`, { tcp });
  const token = await server.token(room, identity);
  await page.evaluate((given) => sluice.publish(given), { token, width: 320, height: 180, ...options });
  return page;
}

async function watch(
  room: string,
  identity: string,
  { tcp = false, ...options }: Omit<WatchOptions, 'token'> & { tcp?: boolean } = {},
): Promise<Page> {
  const page = await open(`viewer ${identity}`, { tcp });
  const token = await server.token(room, identity, { canPublish: false });
  await page.evaluate((given) => sluice.watch(given), { token, ...options });
  return page;
}

const played = (page: Page): Promise<Played[]> => page.evaluate(() => sluice.played());

/** A new picture again and again, and sound; with `width`, also that wide: browsers begin small. */
async function untilPlays(page: Page, index: number, what: string, width?: number): Promise<Played> {
  const deadline = performance.now() + 25_000;
  const start = (await played(page))[index]!;
  for (;;) {
    const now = (await played(page))[index]!;
    const wide = width === undefined ? now.width > 0 : now.width === width;
    if (wide && now.frames > start.frames + 10 && now.energy > start.energy) return now;
    if (performance.now() > deadline) throw new Error(`${what} does not play: ${JSON.stringify(now)}`);
    await sleep(100);
  }
}

function tracksOf(room: string, identity: string): SfuTrack[] {
  return [...(server.sfu.room(room)?.participants.get(identity)?.tracks.values() ?? [])];
}

async function published(room: string, identity: string): Promise<{ audio: SfuTrack; video: SfuTrack }> {
  await until(`${identity} to publish`, () => tracksOf(room, identity).length === 2, 15_000);
  const tracks = tracksOf(room, identity);
  return {
    audio: tracks.find(({ kind }) => kind === 'audio')!,
    video: tracks.find(({ kind }) => kind === 'video')!,
  };
}

// At once: each waits for its pictures most of the time.
describe.concurrent('Chromium', () => {
  test('publishes H.264 and Opus; a viewer that comes later sees and hears it', async () => {
    const room = newRoom();
    const publisher = await publish(room, 'ann', { codec: 'H264' });
    const { audio, video } = await published(room, 'ann');
    expect([audio.mimeType, video.mimeType, video.spatialLayers]).toEqual(['audio/opus', 'video/H264', 1]);
    const viewer = await watch(room, 'bob');
    await untilPlays(viewer, 0, 'H.264', 320);
    await release(publisher, viewer);
  });

  test('publishes and watches over TCP alone', async () => {
    const room = newRoom();
    const publisher = await publish(room, 'ann', { codec: 'VP8', tcp: true });
    await published(room, 'ann');
    const viewer = await watch(room, 'bob', { tcp: true });
    await untilPlays(viewer, 0, 'media over TCP', 320);
    await Promise.all([publisher.close(), viewer.close()]);
  });

  test.each(['VP9', 'AV1'])('publishes %s, and it is forwarded', async (codec) => {
    const room = newRoom();
    const publisher = await publish(room, 'ann', { codec });
    expect((await published(room, 'ann')).video.mimeType).toBe(`video/${codec}`);
    const viewer = await watch(room, 'bob');
    await untilPlays(viewer, 0, codec);
    await release(publisher, viewer);
  });

  test('a viewer with free slots sees those who come later, and a slot takes one after the other', async () => {
    const room = newRoom();
    const viewer = await watch(room, 'viewer', { slots: 2 });
    const ann = await publish(room, 'ann', { codec: 'VP8', width: 160, height: 90 });
    await untilPlays(viewer, 0, 'ann');
    const bob = await publish(room, 'bob', { codec: 'H264', width: 240, height: 134 });
    await untilPlays(viewer, 1, 'bob');
    await ann.evaluate(() => sluice.stop('publisher'));
    await until('ann to be gone', () => tracksOf(room, 'ann').length === 0);
    const cid = await publish(room, 'cid', { codec: 'VP8', width: 320, height: 180 });
    await untilPlays(viewer, 0, 'cid on the slot of ann', 320);
    await untilPlays(viewer, 1, 'bob still', 240);
    await release(viewer, ann, bob, cid);
  });

  test('a viewer with an untouched offer of one slot a kind, and one that watches one participant', async () => {
    const room = newRoom();
    const ann = await publish(room, 'ann', { width: 160, height: 90 });
    await published(room, 'ann');
    const bob = await publish(room, 'bob', { width: 240, height: 134 });
    await published(room, 'bob');
    const viewer = await watch(room, 'viewer', { participant: 'bob' });
    await untilPlays(viewer, 0, 'bob', 240);
    const [one, many] = await Promise.all([open('one slot a kind'), open('two slots a kind')]);
    const answer = async (page: Page, identity: string, kinds: string[]) => {
      const given = { token: await server.token(room, identity), kinds };
      return page.evaluate(({ token, kinds }) => sluice.watchPlainly(token, kinds), given);
    };
    const byPayloadType = await answer(one, 'one', ['video', 'audio']);
    expect(byPayloadType).not.toMatch(/a=ssrc:|sdes:mid/);
    const bySsrc = await answer(many, 'many', ['video', 'audio', 'video', 'audio', 'video']);
    expect(bySsrc).toMatch(/a=ssrc:\d+ cname:/);
    expect(bySsrc.match(/a=(sendonly|inactive)/g), 'a slot that stays free').toEqual([
      ...Array<string>(4).fill('a=sendonly'),
      'a=inactive',
    ]);
    await untilPlays(one, 0, 'one slot a kind');
    await Promise.all([untilPlays(many, 0, 'the first', 160), untilPlays(many, 1, 'the second', 240)]);
    expect((await played(many))[2]!.width).toBe(0);
    await ann.evaluate(() => sluice.stop('publisher'));
    await release(one, many);
    await release(ann, bob, viewer);
  });

  test('ICE restarts while media flows', async () => {
    const room = newRoom();
    const publisher = await publish(room, 'ann');
    await published(room, 'ann');
    const viewer = await watch(room, 'bob');
    await untilPlays(viewer, 0, 'the stream');
    const [first, second] = [
      await publisher.evaluate(() => sluice.restartIce('publisher')),
      await publisher.evaluate(() => sluice.restartIce('publisher')),
    ];
    expect(second.local).not.toBe(first.local);
    expect(second.remote).not.toBe(first.remote);
    await viewer.evaluate(() => sluice.restartIce('viewer'));
    await untilPlays(viewer, 0, 'the stream after the restarts');
    const iceStates = tracksOf(room, 'ann').map(({ producer }) => producer.closed);
    expect(iceStates).toEqual([false, false]);
    await release(publisher, viewer);
  });

  test('one page publishes and watches with one token as one participant', async () => {
    const room = newRoom();
    const ann = await publish(room, 'ann');
    await published(room, 'ann');
    const token = await server.token(room, 'bob');
    const both = await open('both');
    await both.evaluate(async (bearer) => {
      await sluice.publish({ token: bearer, width: 320, height: 180 });
      await sluice.watch({ token: bearer });
    }, token);
    await published(room, 'bob');
    await untilPlays(both, 0, 'ann');
    expect([...server.sfu.room(room)!.participants.keys()].sort()).toEqual(['ann', 'bob']);
    await both.evaluate(() => sluice.stop('viewer'));
    await sleep(200);
    expect(tracksOf(room, 'bob'), 'still publishing').toHaveLength(2);
    await release(ann, both);
  });
});

// These look at more than their own room, or need the processor.
describe('Chromium, alone,', () => {
  test('publishes VP8 simulcast; viewers get the layer they ask for', async () => {
    const room = newRoom();
    const publisher = await publish(room, 'ann', { codec: 'VP8', simulcast: true, width: 960, height: 540 });
    const { video } = await published(room, 'ann');
    expect([video.mimeType, video.spatialLayers]).toEqual(['video/VP8', 3]);
    const [high, low] = await Promise.all([watch(room, 'bob'), watch(room, 'cid', { layer: 'low' })]);
    await Promise.all([untilPlays(low, 0, 'the low layer', 240), untilPlays(high, 0, 'the high layer', 960)]);
    await release(publisher, high, low);
  });

  test('viewers with other payload types than the room get a router with theirs, and share it', async () => {
    const room = newRoom();
    const ann = await publish(room, 'ann', { codec: 'VP8', width: 320, height: 180 });
    await published(room, 'ann');
    // Those of tests before may go meanwhile.
    const before = new Set(routers);
    const added = () => [...routers].filter((router) => !before.has(router)).length;
    const numbers = { '111': '112', '96': '121', '97': '122' };
    const viewers = await Promise.all(['bob', 'cid'].map((name) => open(name)));
    for (const [index, viewer] of viewers.entries()) {
      const token = await server.token(room, `viewer-${index}`);
      const answer = await viewer.evaluate(
        (given) => sluice.watchPlainly(given.token, ['audio', 'video'], given.numbers),
        { token, numbers },
      );
      expect(answer).toContain('a=rtpmap:121 VP8/90000');
      expect(answer).toContain('a=rtpmap:112 opus/48000/2');
    }
    await Promise.all(viewers.map((viewer) => untilPlays(viewer, 0, 'a viewer with other numbers')));
    const bob = await publish(room, 'bob', { codec: 'VP8', width: 240, height: 134 });
    await published(room, 'bob');
    await ann.evaluate(() => sluice.stop('publisher'));
    await Promise.all(viewers.map((viewer) => untilPlays(viewer, 0, 'the next publisher', 240)));
    expect(added(), 'one more than before').toBe(1);
    await release(...viewers);
    await until('the second router to go', () => added() === 0);
    await release(ann, bob);
  });

  test('DELETE, a closed page and a lost connection each end the participant', async () => {
    const room = newRoom();
    const reasons = new Map<string, string>();
    const identities = ['deletes', 'closes', 'vanishes'];
    const pages = await Promise.all(
      identities.map((identity) => publish(room, identity, { width: 160, height: 90 })),
    );
    for (const identity of identities) {
      await published(room, identity);
      const participant = server.sfu.room(room)!.participants.get(identity)!;
      participant.onClose((reason) => reasons.set(identity, reason));
    }
    await pages[0]!.evaluate(() => sluice.stop('publisher'));
    await until('DELETE to end it', () => reasons.get('deletes') === 'client_left');
    await pages[1]!.evaluate(() => sluice.hangUp('publisher'));
    await until('the closed connection to end it', () => reasons.get('closes') === 'client_left');
    // A renderer that dies says no goodbye.
    await pages[2]!.goto('chrome://crash').catch(() => undefined);
    await until('silence to end it', () => reasons.get('vanishes') === 'connection_lost', 20_000);
    await Promise.all(pages.map((page) => page.close()));
  });
});

test('the studio page: join with a token, publish the test picture, watch the others', async () => {
  const room = newRoom();
  const studio = async (identity: string) => {
    const page = await browser.newPage(`studio ${identity}`);
    await page.goto(`${server.url}/index.html#token=${await server.token(room, identity)}`);
    await page.getByText(`${identity} in ${room}`).waitFor();
    expect(page.url(), 'no token in the address bar').toBe(`${server.url}/index.html`);
    return page;
  };
  const ann = await studio('ann');
  await ann.getByLabel('Codec').selectOption('H.264');
  await ann.getByRole('button', { name: 'Start publishing' }).click();
  await ann.getByText('Live', { exact: true }).waitFor();
  const { video } = await published(room, 'ann');
  expect([video.mimeType, video.spatialLayers]).toEqual(['video/H264', 3]);

  const bob = await studio('bob');
  await bob.getByRole('button', { name: 'Start watching' }).click();
  const picture = bob.getByLabel('Place 1', { exact: true });
  await picture.waitFor({ state: 'visible' });
  await bob.getByText('Whoever publishes').waitFor({ state: 'hidden' });
  await ann.getByRole('button', { name: 'Stop publishing' }).click();
  await picture.waitFor({ state: 'hidden' });
  await bob.getByRole('button', { name: 'Leave' }).click();
  await bob.getByLabel('Access token').waitFor();
  await until('both to be gone', () => server.sfu.room(room)?.participants.size === 0);

  await bob.getByLabel('Access token').fill('nonsense');
  await bob.getByRole('button', { name: 'Join' }).click();
  await bob.getByRole('status').getByText('not an access token').waitFor();
  await Promise.all([ann.close(), bob.close()]);
});
