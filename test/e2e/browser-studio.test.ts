/** The studio page of a running Sluice, clicked through in real Chromium. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.ts';
import type { TestBrowser } from '../support/chromium.ts';
import { runCli } from '../support/cli.ts';
import { Sluice } from '../support/sluice.ts';

const ROOM = 'studio';

describe('the studio page', () => {
  let sluice: Sluice;
  let browser: TestBrowser;
  let folder: string;
  let page: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-studio-'));
    [sluice, browser] = await Promise.all([Sluice.start(), launchChromium()]);
    page = await browser.newPage('studio');
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text());
    });
    await page.goto(sluice.url);
  });

  afterAll(async () => {
    await browser?.close();
    await sluice?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('refuses what is no token, and says so', async () => {
    await page.getByLabel('Access token').fill('no token');
    await page.getByRole('button', { name: 'Join' }).click();
    await page.getByRole('status').getByText('not an access token').waitFor();
    expect(await page.getByRole('button', { name: 'Start publishing' }).isVisible()).toBe(false);
  });

  it('joins with a token of the command line', async () => {
    const args = ['--room', ROOM, '--identity', 'ann', '--publish', '--subscribe'];
    const { stdout } = await runCli(['token', 'create', ...args]);
    await page.getByLabel('Access token').fill(stdout.trim());
    await page.getByRole('button', { name: 'Join' }).click();
    await page.getByRole('button', { name: 'Start publishing' }).waitFor();
    expect(await page.locator('#where').innerText()).toBe(`ann in ${ROOM}`);
  });

  it('publishes the test picture', async () => {
    await page.getByRole('button', { name: 'Start publishing' }).click();
    await expect
      .poll(async () => (await sluice.rooms.listParticipants(ROOM))[0]?.tracks.length, { timeout: 10_000 })
      .toBe(2);
    const [participant] = await sluice.rooms.listParticipants(ROOM);
    expect(participant?.identity).toBe('ann');
    await expect.poll(() => widthOf('#preview')).toBe(1280);
  });

  it('watches it in a second window', async () => {
    const viewer = await browser.newPage('viewer');
    const token = await sluice.token('bob', { room: ROOM, canPublish: false, canSubscribe: true });
    await viewer.goto(sluice.url);
    await viewer.getByLabel('Access token').fill(token);
    await viewer.getByRole('button', { name: 'Join' }).click();
    await viewer.getByRole('button', { name: 'Start watching' }).click();
    const video = viewer.locator('#tiles video').first();
    await video.waitFor({ timeout: 10_000 });
    const time = () =>
      video.evaluate((element) => (element as unknown as { currentTime: number }).currentTime);
    await expect.poll(time, { timeout: 10_000 }).toBeGreaterThan(0.5);
    const before = await time();
    await expect.poll(time, { timeout: 10_000 }).toBeGreaterThan(before + 1);
    await screenshot(viewer, 'studio-viewer');
    await viewer.close();
  });

  it('stops publishing, and leaves', async () => {
    await screenshot(page, 'studio-publisher');
    await page.getByRole('button', { name: 'Stop publishing' }).click();
    await expect
      .poll(async () => (await sluice.rooms.listParticipants(ROOM)).length, { timeout: 10_000 })
      .toBe(0);
    await page.getByRole('button', { name: 'Leave' }).click();
    await page.getByRole('button', { name: 'Join' }).waitFor();
    expect(errors).toEqual([]);
  });

  const widthOf = (selector: string) =>
    page.locator(selector).evaluate((element) => (element as unknown as { videoWidth: number }).videoWidth);

  async function screenshot(of: Page, name: string): Promise<void> {
    const path = join(process.env.SLUICE_TEST_SCREENSHOTS ?? folder, `${name}.png`);
    // A page that paints nothing is a small file.
    expect((await of.screenshot({ path })).length).toBeGreaterThan(10_000);
  }
});
