/** Looks into an egress while it runs: its pipeline's process, its log's folder. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sluice } from './sluice.ts';

const WAIT_MS = 15_000;

function attemptFolder(sluice: Sluice, egressId: string, attempt: number): string {
  return join(sluice.dataDir, 'egress', egressId, `attempt-${attempt}`);
}

/** The process id of the pipeline that writes this attempt, once it is another one than `before`. */
export async function pipelinePid(
  sluice: Sluice,
  egressId: string,
  { attempt = 1, before }: { attempt?: number; before?: number } = {},
): Promise<number> {
  const file = join(attemptFolder(sluice, egressId, attempt), 'pipeline.pid');
  for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline; await sleep(50)) {
    const pid = Number(await readFile(file, 'utf8').catch(() => ''));
    if (pid > 1 && pid !== before) return pid;
  }
  throw new Error(`attempt ${attempt} of ${egressId} has no pipeline\n${sluice.tail()}`);
}

/** The command line of a process, arguments joined with spaces; undefined when there is none of that number. */
export async function commandOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return text === '' ? undefined : text.replaceAll('\0', ' ').trim();
}

/** Name and checksum of every file of an attempt. */
export async function attemptContent(
  sluice: Sluice,
  egressId: string,
  attempt: number,
): Promise<Record<string, string>> {
  const folder = attemptFolder(sluice, egressId, attempt);
  const content: Record<string, string> = {};
  for (const name of (await readdir(folder)).sort()) {
    content[name] = createHash('sha256')
      .update(await readFile(join(folder, name)))
      .digest('hex');
  }
  return content;
}

/**
 * Resolves when `check` answers something other than undefined or false.
 * @param everyMs longer where asking costs something
 * @throws naming `what` after `timeoutMs`
 */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  timeoutMs = WAIT_MS,
  everyMs = 50,
): Promise<Exclude<T, undefined | false>> {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(everyMs)) {
    const value = await check();
    if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
  }
}

export interface DetailedGap {
  from: number;
  to: number;
  reason: string;
}

/** The gaps EgressInfo.details tells of, seconds. */
export function gapsIn(details: string): DetailedGap[] {
  return [...details.matchAll(/gap from ([\d.]+) s to ([\d.]+) s: ([^;]+)/g)].map(
    ([, from, to, reason = '']) => ({ from: Number(from), to: Number(to), reason }),
  );
}
