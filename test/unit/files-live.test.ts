/** `/files` as LL-HLS players use it: playlists and parts are waited for, and whoever writes them is another process. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readDirectives } from '../../src/api/live-playlist.ts';
import { LivePlaylists } from '../../src/api/live-playlists.ts';
import { buildHttp } from '../../src/api/server.ts';
import { TokenVerifier } from '../../src/auth/verify.ts';
import { renderPlaylist } from '../../src/egress/outputs/hls/playlist.ts';
import { EPOCH_MS } from '../support/log-fixtures.ts';

describe('a broadcast of low latency', () => {
  let folder: string;
  let app: FastifyInstance;
  let base: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-live-'));
    await mkdir(join(folder, 'room'));
    app = buildHttp({
      logger: pino({ level: 'silent' }),
      verifier: new TokenVerifier({ devkey: 'secret' }),
      services: [],
      health: async () => ({ ok: true }),
      files: { root: folder, access: 'public' },
    });
    base = `${await app.listen({ host: '127.0.0.1', port: 0 })}/files/room`;
    await put('live.m3u8', playlist(2, 1));
  });

  afterEach(async () => {
    await app.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** In one piece, as storages put it. */
  async function put(name: string, text: string): Promise<void> {
    await writeFile(join(folder, '.part'), text);
    await rename(join(folder, '.part'), join(folder, 'room', name));
  }

  /** A target duration of a second. */
  function playlist(whole: number, open: number, ended = false): string {
    const head = { wallMs: EPOCH_MS, discontinuity: false, map: 'init.mp4' };
    const parts = Array.from({ length: open }, (_, i) => ({
      ...{ uri: `p_${whole * 2 + i}.m4s`, durationNs: 0.5e9, independent: true },
    }));
    return renderPlaylist(
      Array.from({ length: whole }, (_, index) => ({
        ...head,
        uri: `s_${index}.m4s`,
        index,
        durationNs: 1e9,
      })),
      {
        ...{ targetDuration: 1, type: 'event', ended },
        low: { partTarget: 0.5, open: { ...head, parts }, hint: `p_${whole * 2 + open}.m4s` },
      },
    );
  }

  it('is given at once where it has what is asked for, and to whoever asks for nothing', async () => {
    for (const [query, cache] of [
      ['?_HLS_msn=2&_HLS_part=0', 'public, max-age=1'],
      ['?_HLS_msn=1', 'public, max-age=1'],
      ['', 'no-cache'],
    ]) {
      const response = await fetch(`${base}/live.m3u8${query}`);
      expect(response.status).toBe(200);
      expect(response.headers.get('cache-control')).toBe(cache);
      expect(response.headers.get('content-type')).toBe('application/vnd.apple.mpegurl');
      expect(response.headers.get('access-control-allow-origin')).toBe('*');
      expect(await response.text()).toBe(playlist(2, 1));
    }
  });

  it('is waited for by any number of players, each for its own part', async () => {
    const asked = ['_HLS_msn=2&_HLS_part=1', '_HLS_msn=2', '_HLS_msn=2&_HLS_part=1'].map(async (query) => {
      const response = await fetch(`${base}/live.m3u8?${query}`);
      return [response.status, await response.text()];
    });
    const first = await Promise.race([...asked, sleep(200, 'waiting')]);
    expect(first).toBe('waiting');
    await put('live.m3u8', playlist(2, 2));
    expect(await asked[0]).toEqual([200, playlist(2, 2)]);
    expect(await asked[2]).toEqual([200, playlist(2, 2)]);
    expect(await Promise.race([asked[1], sleep(200, 'waiting')])).toBe('waiting');
    await put('live.m3u8', playlist(3, 0));
    expect(await asked[1]).toEqual([200, playlist(3, 0)]);
  });

  it('is given to whoever waits when it ends', async () => {
    const asked = fetch(`${base}/live.m3u8?_HLS_msn=3`);
    await sleep(100);
    await put('live.m3u8', playlist(2, 0, true));
    expect(await (await asked).text()).toContain('#EXT-X-ENDLIST');
    // From then on nobody waits.
    expect((await fetch(`${base}/live.m3u8?_HLS_msn=3`)).status).toBe(200);
  });

  it('that does not go on is given as it is after three target durations, and not kept', async () => {
    const askedAt = performance.now();
    const response = await fetch(`${base}/live.m3u8?_HLS_msn=3`);
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-cache');
    expect(await response.text()).toBe(playlist(2, 1));
    expect(performance.now() - askedAt).toBeGreaterThan(2900);
  });

  it('may lie beside a recording of sound, which is shown as that', async () => {
    await put('sound.mp3', 'sound');
    expect((await fetch(`${base}/sound.mp3`)).headers.get('content-type')).toBe('audio/mpeg');
  });

  it('is refused what it cannot be asked for', async () => {
    for (const [query, status] of [
      ['_HLS_msn=4', 400],
      ['_HLS_part=1', 400],
      ['_HLS_msn=x', 400],
    ]) {
      expect((await fetch(`${base}/live.m3u8?${query}`)).status, String(query)).toBe(status);
    }
    expect((await fetch(`${base}/nothing.m3u8?_HLS_msn=0`)).status).toBe(404);
  });

  it('has the part it announces waited for, and no other one', async () => {
    expect((await fetch(`${base}/live.m3u8?_HLS_msn=1`)).status).toBe(200);
    const asked = fetch(`${base}/p_5.m4s`);
    expect((await fetch(`${base}/p_6.m4s`)).status).toBe(404);
    expect(await Promise.race([asked, sleep(200, 'waiting')])).toBe('waiting');
    await put('p_5.m4s', 'the part');
    await put('live.m3u8', playlist(2, 2));
    const response = await asked;
    expect(await response.text()).toBe('the part');
    expect(response.headers.get('content-type')).toBe('video/mp4');
  });

  it('is waited for by nobody once the server ends, also who is just about to', async () => {
    const live = new LivePlaylists();
    const { wish } = readDirectives(new URLSearchParams('_HLS_msn=3'));
    const { signal } = new AbortController();
    const file = join(folder, 'room', 'live.m3u8');
    expect((await live.get(file, undefined, signal)).status).toBe(200);
    const asked = [live.get(file, wish, signal), live.part(join(folder, 'room', 'p_5.m4s'), signal)];
    live.close();
    asked.push(live.get(file, wish, signal));
    const answers = Promise.all(asked);
    expect(await Promise.race([answers, sleep(500, 'waiting')])).toEqual([
      ...[{ status: 503 }, undefined, { status: 503 }],
    ]);
  });

  it('does not hold up the server’s end', async () => {
    const asked = fetch(`${base}/live.m3u8?_HLS_msn=3`).catch(() => undefined);
    await sleep(100);
    const askedAt = performance.now();
    await app.close();
    await asked;
    expect(performance.now() - askedAt).toBeLessThan(2000);
  });
});
