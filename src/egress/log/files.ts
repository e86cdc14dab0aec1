/** Names of the log's files. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AttemptLine } from './types.ts';

export type LogContainer = AttemptLine['container'];

const EXTENSIONS = { mpegts: 'ts', matroska: 'mkv' } as const;

export function attemptDir(dir: string, attempt: number): string {
  return join(dir, `attempt-${attempt}`);
}

export function indexPath(dir: string, attempt: number): string {
  return join(attemptDir(dir, attempt), 'index.jsonl');
}

/** Holds the process id of the attempt's running pipeline, so that whoever takes over can end it. */
export function pidPath(dir: string, attempt: number): string {
  return join(attemptDir(dir, attempt), 'pipeline.pid');
}

/** For files of the moment; nothing in it is ever missed. */
export function scratchDir(dir: string): string {
  return join(dir, 'scratch');
}

/** printf pattern of a run's chunks, with one `%06d`: what the pipeline program is told. */
export function chunkPattern(run: number, container: LogContainer): string {
  return `r${run}-%06d.${EXTENSIONS[container]}`;
}

/** Run and number of a chunk's file name, or undefined when it is none. */
export function parseChunkName(file: string): { run: number; number: number } | undefined {
  const match = /^r(\d{1,9})-(\d{1,9})\.(?:ts|mkv)$/.exec(file);
  return match ? { run: Number(match[1]), number: Number(match[2]) } : undefined;
}

/** Numbers of the attempts that have a folder, ascending; none when `dir` does not exist. */
export async function listAttempts(dir: string): Promise<number[]> {
  const names = await namesIn(dir);
  return names
    .flatMap((name) => {
      const match = /^attempt-(\d{1,9})$/.exec(name);
      return match ? [Number(match[1])] : [];
    })
    .sort((a, b) => a - b);
}

/** Names of an attempt's chunk files, in order of run and number. */
export async function listChunkFiles(dir: string, attempt: number): Promise<string[]> {
  const names = (await namesIn(attemptDir(dir, attempt))).flatMap((file) => {
    const parsed = parseChunkName(file);
    return parsed ? [{ file, ...parsed }] : [];
  });
  return names.sort((a, b) => a.run - b.run || a.number - b.number).map(({ file }) => file);
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** The file's bytes, or undefined when there is no such file. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
