import { accessSync, constants, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

import { buildPipelines, buildWeb } from '../../scripts/build.ts';
import { noteLeft } from '../../scripts/test-left.ts';
import { endProcesses, markProcesses, type MarkedProcess, remainingProcesses } from './leftovers.ts';

/** How long what the last test closed may take to be gone. */
const GRACE_MS = 5000;

/**
 * Runs once before the suite: programs built, mediasoup's worker found, a temp folder of the run's own.
 * The returned teardown fails the run if a process or a `sluice-*` temp entry of the suite is left.
 */
export default async function setup(): Promise<() => Promise<void>> {
  process.env.MEDIASOUP_WORKER_BIN ??= join(
    process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'),
    'sluice/mediasoup-worker',
  );
  const workerBin = process.env.MEDIASOUP_WORKER_BIN;
  try {
    accessSync(workerBin, constants.X_OK);
  } catch {
    throw new Error(`no mediasoup worker at ${workerBin}: run the suite with ./sluice test, which brings it`);
  }
  await buildPipelines();
  await buildWeb();

  const systemTmp = tmpdir();
  const tmp = mkdtempSync(join(systemTmp, 'sluice-test-'));
  process.env.TMPDIR = tmp;
  const marker = markProcesses();

  return async () => {
    let processes: MarkedProcess[] = remainingProcesses(marker);
    for (const deadline = Date.now() + GRACE_MS; processes.length > 0 && Date.now() < deadline;) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      processes = remainingProcesses(marker);
    }
    const files = readdirSync(tmp).filter((name) => name.startsWith('sluice-'));
    endProcesses(processes);
    rmSync(tmp, { recursive: true, force: true });
    process.env.TMPDIR = systemTmp;

    const left = [
      ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
      ...files.map((name) => `temp entry ${name}`),
    ];
    noteLeft(left.map((each) => `left behind: ${each}`));
    if (left.length > 0) throw new Error(`the suite left behind:\n  ${left.join('\n  ')}`);
  };
}
