/**
 * `./sluice chaos --minutes N [--full] [--seed S] [--slack seconds] [--logs folder]`: random faults against everything
 * at once, and then an account of every second that was to be recorded. Exit code 1 when anything is missing without a
 * reason, doubled, not ended, or left behind.
 */
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from 'livekit-server-sdk';
import { endProcesses, markProcesses, remainingProcesses } from '../support/leftovers.ts';
import { account } from './account.ts';
import type { Account } from './account.ts';
import { Chance } from './chance.ts';
import { faults } from './faults.ts';
import { observeAll } from './observe.ts';
import { chaosOptions } from './options.ts';
import type { ChaosOptions } from './options.ts';
import { report } from './report.ts';
import type { RecordingName } from './recordings.ts';
import { Rig } from './rig.ts';
import { excusesOf, storm } from './storm.ts';

/** What has ended may take so long to be gone, ms. */
const GRACE_MS = 5000;
/** Quiet at both ends of a run, ms: what is recorded without faults. */
const QUIET_MS = 4000;

const say = (text: string) => void process.stdout.write(`${text}\n`);

async function run({ minutes, seed, slack, full, logs }: ChaosOptions): Promise<boolean> {
  const chance = new Chance(seed);
  say(`chaos of ${minutes} minutes, seed ${seed}`);
  const rig = await Rig.start(seed);
  const accounts: Account[] = [];
  const wrong: string[] = [];
  try {
    say('recording: ' + [...rig.egressIds.keys()].join(', '));
    await sleep(QUIET_MS);
    const { happened, failures } = await storm(rig, faults(minutes, full), {
      chance,
      ms: minutes * 60_000,
      say,
    });
    wrong.push(...failures);
    await sleep(QUIET_MS);
    const infos = await rig.finish();
    wrong.push(...endings(infos), ...(await logsLeft(rig)));
    await rig.empty();
    say('reading what was recorded');
    for (const reading of await observeAll(rig, infos)) {
      const result = account(reading.observed, excusesOf(reading, happened, rig.witness.starved, slack));
      result.wrong.push(...reading.wrong);
      accounts.push(result);
    }
    report({ happened, accounts, infos, say });
    if (logs !== undefined) await keep(rig, infos, logs);
  } catch (error) {
    if (logs !== undefined) await keep(rig, new Map(), logs);
    throw error;
  } finally {
    await rig.close();
  }
  for (const each of wrong) say(`WRONG: ${each}`);
  return wrong.length === 0 && accounts.every((each) => each.wrong.length === 0);
}

function endings(infos: ReadonlyMap<RecordingName, EgressInfo>): string[] {
  return [...infos].flatMap(([name, { status, error }]) =>
    status === EgressStatus.EGRESS_COMPLETE ? [] : `${name} ended as ${EgressStatus[status]}: ${error}`,
  );
}

/** Logs of what is complete are gone. */
async function logsLeft({ sluice }: Rig): Promise<string[]> {
  let left: string[] = [];
  for (const deadline = Date.now() + GRACE_MS; Date.now() < deadline; await sleep(100)) {
    const folder = join(sluice.dataDir, 'egress');
    // One that goes while it is read is not left, but leaves the rest unread.
    const names = await readdir(folder, { recursive: true }).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
    if (!names) continue;
    left = names.filter((name) => !name.startsWith('.') || name.includes('/'));
    if (left.length === 0) return [];
  }
  return left.slice(0, 5).map((id) => `${id} of a log is left`);
}

/** Writes the logs of all processes, the infos and the recordings, to find out what happened. */
async function keep(rig: Rig, infos: ReadonlyMap<RecordingName, EgressInfo>, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await cp(join(rig.sluice.dataDir, 'recordings'), join(folder, 'recordings'), { recursive: true });
  for (const { name, child, output } of rig.sluice.processes)
    await writeFile(join(folder, `${name}-${String(child.pid)}.log`), output);
  for (const [name, info] of infos) await writeFile(join(folder, `${name}.json`), info.toJsonString());
}

/** With a temp folder and a mark of its own, so that nothing that is left goes unseen. */
async function main(): Promise<boolean> {
  const chosen = chaosOptions(process.argv.slice(2));
  const folder = await mkdtemp(join(tmpdir(), 'sluice-chaos-'));
  process.env.TMPDIR = folder;
  const marker = markProcesses();
  let ok: boolean;
  try {
    ok = await run(chosen);
  } finally {
    let left = remainingProcesses(marker);
    for (const deadline = Date.now() + GRACE_MS; left.length > 0 && Date.now() < deadline; await sleep(100))
      left = remainingProcesses(marker);
    const files = (await readdir(folder)).filter((name) => name.startsWith('sluice-'));
    for (const { pid, command } of left) say(`WRONG: process ${pid} is left: ${command}`);
    for (const file of files) say(`WRONG: ${file} is left in the temp folder`);
    endProcesses(left);
    await rm(folder, { recursive: true, force: true });
    if (left.length + files.length > 0) process.exitCode = 1;
  }
  say(ok && process.exitCode !== 1 ? 'every second is accounted for' : 'NOT every second is accounted for');
  return ok;
}

try {
  if (!(await main())) process.exitCode = 1;
} catch (error) {
  process.stderr.write(`chaos: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
}
