/** Folders of pages: those of workers that are gone are removed, whatever has their number now. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Workspace, sweepWorkspaces } from '../../src/web-source/workspace.ts';

const logger = pino({ level: 'silent' });
let place: string;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'sluice-workspace-'));
  vi.stubEnv('TMPDIR', place);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(place, { recursive: true });
});

it('sweeps what a worker left that had our number, or one that somebody else has now, and nothing in use', async () => {
  const workspace = await Workspace.make(undefined);
  expect(dirname(workspace.path)).toBe(place);
  const [, own = ''] = /^(sluice-page-\d+-\d+)-/.exec(basename(workspace.path)) ?? [];
  expect(own).not.toBe('');
  const left = [
    `sluice-page-${process.pid}-12-abcdef`,
    'sluice-page-1-0-abcdef',
    'sluice-page-4194305-12-abcdef',
  ];
  const kept = [`${own}-abcdef`, 'sluice-page-of-somebody', 'sluice-pages'];
  for (const name of [...left, ...kept]) mkdirSync(join(place, name));
  await sweepWorkspaces(logger);
  expect(left.filter((name) => existsSync(join(place, name)))).toEqual([]);
  expect(kept.filter((name) => !existsSync(join(place, name)))).toEqual([]);
  expect(existsSync(workspace.profile)).toBe(true);
  await workspace.remove(logger);
});
