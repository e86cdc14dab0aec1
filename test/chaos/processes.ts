/** Finds what faults are aimed at. */
import { readdir, readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { processTree } from '../../bench/lib/processes.ts';
import type { Sluice } from '../support/sluice.ts';

/** The newest attempt of an egress that has written down its pipeline. @throws when there is none */
export async function latestAttempt(sluice: Sluice, egressId: string): Promise<number> {
  const folder = join(sluice.dataDir, 'egress', egressId);
  const numbers = (await readdir(folder))
    .flatMap((name) => /^attempt-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number);
  for (const number of numbers.sort((a, b) => b - a)) {
    const pid = await readFile(join(folder, `attempt-${number}`, 'pipeline.pid'), 'utf8').catch(() => '');
    if (pid !== '') return number;
  }
  throw new Error(`${egressId} has no pipeline`);
}

/** FFmpegs below these processes that send FLV. */
export function streamProcesses(roots: readonly number[]): number[] {
  return processTree(...roots).filter((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return (args[0] ?? '').endsWith('ffmpeg') && args.includes('flv') && args.includes('-f');
    } catch {
      return false;
    }
  });
}
