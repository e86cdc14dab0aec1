import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Lock, isInstalled } from '../../scripts/packages-installed.ts';
import { endProcesses, remainingProcesses } from '../support/leftovers.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SLUICE = join(ROOT, 'sluice');

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-toolchain-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function write(path: string, content: string): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), content);
}

/** A folder for PATH with these programs of the system and no others, and these scripts. */
function onlyTools(tools: string[], scripts: Record<string, string> = {}): string {
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  for (const tool of tools) {
    symlinkSync(
      execFileSync('/bin/sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim(),
      join(bin, tool),
    );
  }
  for (const [name, body] of Object.entries(scripts)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return bin;
}

function sluice(args: string[], options: { env?: NodeJS.ProcessEnv; cwd?: string; script?: string } = {}) {
  const { script = SLUICE, ...rest } = options;
  return spawnSync(script, args, { encoding: 'utf8', ...rest });
}

describe('./sluice', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

  test('tells its version, also through a symlink and from another folder', () => {
    const script = join(dir, 'link');
    symlinkSync(SLUICE, script);
    const { stdout, status, stderr } = sluice(['--version'], { script, cwd: dir });
    expect({ stdout, status, stderr }).toEqual({ stdout: `${version}\n`, status: 0, stderr: '' });
  });

  test('tells version and usage where there is no Node yet', () => {
    const env = { HOME: dir, PATH: onlyTools(['bash', 'dirname', 'readlink', 'sed', 'cat']) };
    expect(sluice(['--version'], { env }).stdout).toBe(`${version}\n`);
    const help = sluice(['--help'], { env });
    expect(help.stdout).toContain('Usage: ./sluice <command>');
    expect(help.status).toBe(0);
  });

  test('names the commands when it does not know one, and sets nothing up for it', () => {
    const { status, stdout, stderr } = sluice(['strat']);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain("unknown command 'strat'");
    for (const command of ['demo', 'start', 'server', 'worker', 'token', 'test'])
      expect(stderr).toContain(command);
  });

  test('prints the command to run when it may not install packages itself', () => {
    const tools = ['bash', 'dirname', 'readlink', 'sed', 'cat', 'flock', 'mkdir'];
    // Nothing is installed, and the user is nobody special.
    const PATH = onlyTools(tools, { 'dpkg-query': 'exit 1', id: 'echo 1000', sudo: 'exit 1' });
    const { status, stderr } = sluice(['setup'], { env: { HOME: dir, PATH } });
    expect(status).toBe(1);
    expect(stderr).toMatch(/sudo apt-get install -y --no-install-recommends ffmpeg .*redis-server/);
  });

  test('says where Node comes from when there is neither Node nor npm', () => {
    const tools = ['bash', 'dirname', 'readlink', 'sed', 'cat', 'flock', 'mkdir'];
    const PATH = onlyTools(tools, { 'dpkg-query': `shift 3; for p; do printf '%s\\tii \\n' "$p"; done` });
    const { status, stderr } = sluice(['setup'], { env: { HOME: dir, PATH } });
    expect(status).toBe(1);
    expect(stderr).toContain('needs Node 20 or newer with npm');
  });
});

describe('the import gate', () => {
  function gate(files: Record<string, string>): { status: number | null; output: string } {
    write(
      'tsconfig.json',
      '{ "compilerOptions": { "module": "nodenext", "allowImportingTsExtensions": true } }',
    );
    for (const [path, content] of Object.entries(files)) write(path, content);
    mkdirSync(join(dir, 'pipelines'), { recursive: true });
    const { status, stdout, stderr } = spawnSync(
      join(ROOT, 'node_modules/.bin/depcruise'),
      ['--config', join(ROOT, '.dependency-cruiser.cjs'), 'src', 'pipelines'],
      { cwd: dir, encoding: 'utf8' },
    );
    return { status, output: stdout + stderr };
  }

  test('lets imports downwards pass', () => {
    const { status, output } = gate({
      'src/api/a.ts': "import { b } from '../egress/b.ts';\nexport const a = b;\n",
      'src/egress/b.ts': "import type { C } from '../config/c.ts';\nexport const b: C = 1;\n",
      'src/config/c.ts': 'export type C = number;\n',
    });
    expect(status, output).toBe(0);
    expect(output).toContain('3 modules');
  });

  test.each([
    [
      'no-circular',
      {
        'src/egress/a.ts': "import { b } from './b.ts';\nexport const a = () => b;\n",
        'src/egress/b.ts': "import { a } from './a.ts';\nexport const b = () => a;\n",
      },
    ],
    [
      'no-circular',
      {
        'src/egress/a.ts': "import type { B } from './b.ts';\nexport interface A { b: B }\n",
        'src/egress/b.ts': "import type { A } from './a.ts';\nexport interface B { a: A }\n",
      },
    ],
    [
      'one-way-from-pipeline',
      {
        'src/pipeline/a.ts': "import { b } from '../egress/b.ts';\nexport const a = b;\n",
        'src/egress/b.ts': 'export const b = 1;\n',
      },
    ],
    [
      'egress-and-ingress-apart',
      {
        'src/ingress/a.ts': "import { b } from '../egress/b.ts';\nexport const a = b;\n",
        'src/egress/b.ts': 'export const b = 1;\n',
      },
    ],
    [
      'programs-apart',
      {
        'src/egress/a.ts': "import { b } from '../../pipelines/programs/b.ts';\nexport const a = b;\n",
        'pipelines/programs/b.ts': 'export const b = 1;\n',
      },
    ],
    [
      'programs-stand-alone',
      {
        'pipelines/programs/a.ts': "import { b } from '../../src/egress/b.ts';\nexport const a = b;\n",
        'src/egress/b.ts': 'export const b = 1;\n',
      },
    ],
    [
      'known-houses',
      {
        'src/egress/a.ts': "import { b } from '../attic/b.ts';\nexport const a = b;\n",
        'src/attic/b.ts': 'export const b = 1;\n',
      },
    ],
  ])('catches a planted %s', (rule, files) => {
    const { status, output } = gate(files);
    expect(status).toBeGreaterThan(0);
    expect(output).toContain(rule);
  });
});

describe('whether npm ci has to run', () => {
  const lock: Lock = {
    packages: {
      '': {},
      'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
      'node_modules/a-darwin': { version: '1.0.0', integrity: 'sha512-d', optional: true },
    },
  };
  const a = { version: '1.0.0', integrity: 'sha512-a' };

  test.each<[string, Lock['packages'], boolean]>([
    ['what is locked', { 'node_modules/a': a }, true],
    ['nothing', {}, false],
    ['another version', { 'node_modules/a': { ...a, version: '1.0.1' } }, false],
    ['other content', { 'node_modules/a': { ...a, integrity: 'sha512-x' } }, false],
    ['a package more', { 'node_modules/a': a, 'node_modules/b': a }, false],
    ['another version of an optional one', { 'node_modules/a': a, 'node_modules/a-darwin': a }, false],
  ])('with %s installed', (_, packages, fits) => {
    expect(isInstalled(lock, { packages })).toBe(fits);
  });
});

describe("the suite's search for what it left behind", () => {
  test('finds a marked process that nobody is the parent of, and not its neighbour', async () => {
    const marker = randomUUID();
    // The shell ends at once, and its child is reparented.
    const shell = spawn('sh', ['-c', 'sleep 30 >/dev/null 2>&1 & echo $!'], {
      env: { ...process.env, SLUICE_TEST_RUN: marker },
    });
    let output = '';
    shell.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await new Promise((resolve) => shell.once('close', resolve));

    const found = remainingProcesses(marker).filter(({ command }) => command.startsWith('sleep 30'));
    expect(found.map(({ pid }) => pid)).toEqual([Number(output)]);
    endProcesses(found);
    await expect
      .poll(() => remainingProcesses(marker).filter(({ command }) => command.startsWith('sleep 30')))
      .toEqual([]);
  });
});

describe('docker/', () => {
  const dockerfile = readFileSync(join(ROOT, 'docker/Dockerfile'), 'utf8');

  test('copies only what exists and is not ignored', () => {
    const ignore = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
    const sources = [...dockerfile.matchAll(/^COPY (?!--from)(.+)$/gm)].flatMap(([, args]) =>
      args!.split(' ').slice(0, -1),
    );
    expect(sources).toContain('src');
    for (const source of sources) {
      expect(existsSync(join(ROOT, source)), source).toBe(true);
      expect(ignore).toContain(`!${source.split('/')[0]!}`);
    }
  });

  test('installs every package that ./sluice does', () => {
    const [, list] = /RUNTIME_PACKAGES=\(([^)]+)\)/.exec(readFileSync(SLUICE, 'utf8'))!;
    const packages = list!.trim().split(/\s+/);
    expect(packages).toContain('gjs');
    for (const name of packages) expect(dockerfile.split(/\s+/)).toContain(name);
  });

  test('the compose file keeps jobs and opens the ports of signalling and media', () => {
    const { services } = parse(readFileSync(join(ROOT, 'docker/compose.yaml'), 'utf8'), { merge: true }) as {
      services: Record<string, { command: string[]; ports?: string[]; build?: { dockerfile: string } }>;
    };
    expect(services.redis!.command.join(' ')).toMatch(/noeviction.*--appendonly yes/);
    expect(services.server!.ports).toEqual([
      '7880:7880/tcp',
      '1935:1935/tcp',
      '7882:7882/udp',
      '7882:7882/tcp',
    ]);
    expect(services.worker!.build).toEqual(services.server!.build);
  });
});
