/** Runs command-line tools for tests; a tool never outlives the call that started it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { Readable } from 'node:stream';

const STDERR_LIMIT = 64 * 1024;

export interface ToolResult {
  stdout: string;
  stderr: string;
}

export interface ToolOptions {
  /** Default two minutes. */
  timeoutMs?: number;
  cwd?: string;
  /** What the tool reads on stdin, made as fast as it reads. */
  input?: string | Iterable<Uint8Array>;
}

/** Runs a tool to its end. @throws Error with its command's name and last words when it does not end with 0 */
export async function runTool(
  command: string,
  args: string[],
  options: ToolOptions = {},
): Promise<ToolResult> {
  const stdout: Buffer[] = [];
  const { stderr } = await streamTool(command, args, { 1: (chunk) => stdout.push(chunk) }, options);
  return { stdout: Buffer.concat(stdout).toString('utf8'), stderr };
}

/**
 * Runs a tool whose outputs are consumed as they come: `outputs` maps a file descriptor (1, or 3 and up) to
 * what is called with each piece, synchronously, so that nothing piles up.
 * @throws Error when the tool fails, takes longer than `timeoutMs` (default two minutes), or a consumer throws
 */
export async function streamTool(
  command: string,
  args: string[],
  outputs: Record<number, (chunk: Buffer) => void>,
  options: ToolOptions = {},
): Promise<{ stderr: string }> {
  const { timeoutMs = 120_000, cwd, input } = options;
  const last = Math.max(2, ...Object.keys(outputs).map(Number));
  const stdio = Array.from({ length: last + 1 }, (_, fd) =>
    fd === 0 && input === undefined ? 'ignore' : 'pipe',
  );
  const child: ChildProcess = spawn(command, args, { stdio, cwd });
  let stderr = '';
  let failure: Error | undefined;
  const fail = (error: unknown) => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => fail(new Error(`${command} took longer than ${timeoutMs} ms`)), timeoutMs);
  for (let fd = 1; fd <= last; fd++) {
    const stream = child.stdio[fd];
    stream?.on('error', () => undefined);
    stream?.on('data', (chunk: Buffer) => {
      try {
        if (fd === 2) stderr = (stderr + chunk.toString('utf8')).slice(-STDERR_LIMIT);
        else outputs[fd]?.(chunk);
      } catch (error) {
        fail(error);
      }
    });
  }
  child.stdin?.on('error', () => undefined);
  // A string is one piece, not one for each of its characters.
  if (input !== undefined && child.stdin)
    Readable.from(typeof input === 'string' ? [Buffer.from(input)] : input).pipe(child.stdin);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        if (failure) reject(failure);
        else if (code === 0) resolve();
        else
          reject(
            new Error(
              `${command} ended with ${signal ?? `code ${String(code)}`}: ${stderr.trim().slice(-2000)}`,
            ),
          );
      });
    });
  } finally {
    clearTimeout(timer);
  }
  return { stderr };
}
