/** Ends a pipeline that a killed worker left behind on this machine. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';

/** Whether the process is one of our pipelines: its number may belong to somebody else by now. */
function isPipeline(pid: number): boolean {
  try {
    const [program = '', ...rest] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return /(^|\/)gjs(-console)?$/.test(program) && rest.some((argument) => argument.endsWith('egress.js'));
  } catch {
    return false;
  }
}

/** @param pid as `pipeline.pid` in the log's folder says. */
export function endLeftover(pid: number, logger: Logger): void {
  if (!isPipeline(pid)) return;
  logger.warn({ pid }, 'ending the pipeline of an earlier attempt');
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just gone.
  }
}
