/** Two minutes of chaos, reading included, as `./sluice chaos` causes it, with a seed that is always the same. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChildProcess } from 'node:child_process';

const MAIN = new URL('../chaos/main.ts', import.meta.url).pathname;
const ARGS = ['--minutes', '1.2', '--seed', '11', '--slack', '2'];

describe('chaos', () => {
  let child: ChildProcess;
  let output = '';
  let code: unknown;

  beforeAll(async () => {
    child = spawn(process.execPath, [MAIN, ...ARGS], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (data: Buffer) => (output += data.toString()));
    [code] = (await once(child, 'close')) as unknown[];
  }, 240_000);

  afterAll(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
  });

  it('loses nothing without a reason', () => {
    expect(output).not.toContain('WRONG');
    expect(output).toContain('every second is accounted for');
    expect(code, output).toBe(0);
  });

  it('has caused most of its faults, and recorded most of what was published', () => {
    const faults = Number(/^(\d+) faults tried$/m.exec(output)?.[1]);
    expect(faults, output).toBeGreaterThanOrEqual(8);
    const [, expected, recorded] = /^all\s+(\d+)\s+(\d+)/m.exec(output) ?? [];
    expect(Number(expected)).toBeGreaterThan(450);
    expect(Number(recorded) / Number(expected)).toBeGreaterThan(0.6);
  });
});
