/** `./sluice demo`, as a user types it. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ffprobe } from '../../src/demo/content/ffprobe.ts';
import { freePort } from '../support/ports.ts';

/** The fewest it takes. */
const SECONDS = 5;
const SLUICE = new URL('../../sluice', import.meta.url).pathname;

interface Run {
  code: number | null;
  output: string;
}

async function demo(env: Record<string, string>, ...args: string[]): Promise<Run> {
  const child = spawn(SLUICE, ['demo', ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data: Buffer) => (output += data.toString()));
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}

describe('./sluice demo', () => {
  let dataDir: string;
  let env: Record<string, string>;
  let run: Run;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'sluice-demo-'));
    const [http, rtc] = [await freePort(), await freePort()];
    env = {
      SLUICE_DATA_DIR: dataDir,
      SLUICE_HTTP_PORT: String(http),
      SLUICE_INGRESS_RTMP_PORT: '0',
      SLUICE_RTC_UDP_PORT: String(rtc),
      SLUICE_RTC_TCP_PORT: String(rtc),
      // Away from the ports that are given out as free.
      SLUICE_RTC_PLAIN_PORT_RANGE: '21000-21399',
    };
    run = await demo(env, '--seconds', String(SECONDS));
  });

  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  it('ends well and says what it did', () => {
    expect(run.code, run.output).toBe(0);
    expect(run.output).toContain('Publishing 2 test participants into room "demo" over WHIP');
    expect(run.output).toMatch(/5 \/ 5 s/);
    expect(run.output).not.toMatch(/"level":"(warn|error|fatal)"|WARN|ERROR|FATAL/);
  });

  it.each(['MP4', 'HLS', 'RTMP'])('has a row for %s with what was seen and heard in it', (name) => {
    const row = run.output.split('\n').find((line) => line.startsWith(`${name} `));
    expect(row, run.output).toMatch(
      / 1280×720 @ 30 .* h264 \+ aac .* alice (9[7-9]\.\d|100\.0) %, bob (9[7-9]\.\d|100\.0) %/,
    );
    expect(Number(/^\w+ +([\d.]+) s/.exec(row ?? '')?.[1])).toBeGreaterThan(SECONDS - 2);
    expect(Number(/ (\d+) ms /.exec(row ?? '')?.[1])).toBeLessThanOrEqual(80);
  });

  it('leaves files that open, and nothing that runs', async () => {
    const path = /^MP4 .* (\/\S+\.mp4)$/m.exec(run.output)?.[1];
    expect((await ffprobe(path ?? '')).duration).toBeGreaterThan(SECONDS - 1);
    // The segment log has done its work.
    expect((await readdir(join(dataDir, 'egress'))).filter((name) => name.startsWith('EG_'))).toEqual([]);
    await expect(fetch(`http://127.0.0.1:${env.SLUICE_HTTP_PORT}/healthz`)).rejects.toThrow();
  });
});
