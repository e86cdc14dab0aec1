/** An FFmpeg that reads a silent source notices nothing of its worker's death: the kernel has to tell it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { freePort } from '../support/ports.ts';

const MAKER = new URL('../support/orphan-maker.ts', import.meta.url).pathname;

it('an input FFmpeg dies with its worker, also when nothing comes', async () => {
  const worker = spawn(process.execPath, [MAKER, String(await freePort())], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = (await once(worker.stdout, 'data')) as [Buffer];
  const pid = Number(said.toString().trim());
  try {
    await sleep(500);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 2000 }).toBe(false);
  } finally {
    worker.kill('SIGKILL');
    if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
  }
});
