/**
 * Builds what Node does not run as it is: the gjs programs and the studio page.
 *
 *   pipelines/programs/<name>.ts   → dist/pipelines/<name>.js   one self-contained file each, for gjs
 *   web/<name>.ts                  → dist/web/<name>.js         one self-contained file each, for browsers
 *   web/**, everything else        → dist/web/**                copied
 *
 * A part is built only when its inputs changed, and its files are put in place by renames, so that it may be
 * built while another process reads or builds it.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { BuildOptions } from 'esbuild';

import { isMainModule } from './main-module.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Part {
  name: string;
  /** Folder whose files, all of them, are the inputs. */
  inputs: string;
  /** Folder whose `*.ts` files are bundled. */
  entries: string;
  output: string;
  /** Copy the files of `inputs` that are not TypeScript. */
  copyOthers: boolean;
  esbuild: BuildOptions;
}

const PIPELINES: Part = {
  name: 'pipelines',
  inputs: join(ROOT, 'pipelines'),
  entries: join(ROOT, 'pipelines/programs'),
  output: join(ROOT, 'dist/pipelines'),
  copyOthers: false,
  // gjs 1.74, of Debian 12, runs SpiderMonkey 102.
  esbuild: { target: 'firefox102', external: ['gi://*', 'system', 'gettext', 'cairo', 'console'] },
};

const WEB: Part = {
  name: 'web',
  inputs: join(ROOT, 'web'),
  entries: join(ROOT, 'web'),
  output: join(ROOT, 'dist/web'),
  copyOthers: true,
  esbuild: {
    target: ['chrome111', 'firefox115', 'safari16'],
    platform: 'browser',
    minify: true,
    sourcemap: 'linked',
  },
};

/** Builds dist/pipelines. @returns whether something had to be built. */
export function buildPipelines(): Promise<boolean> {
  return build(PIPELINES);
}

/** Builds dist/web. @returns whether something had to be built. */
export function buildWeb(): Promise<boolean> {
  return build(WEB);
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !/\/(types|\.types-[^/]*|node_modules)\//.test(file))
    .sort();
}

function inputsHash(files: string[]): string {
  const hash = createHash('sha256');
  // The lock file stands for esbuild's version and for the packages that the page bundles.
  for (const file of [fileURLToPath(import.meta.url), join(ROOT, 'package-lock.json'), ...files]) {
    hash
      .update(`${relative(ROOT, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  }
  return hash.digest('hex');
}

function put(file: string, content: string | Uint8Array): void {
  mkdirSync(dirname(file), { recursive: true });
  const fresh = `${file}.${String(process.pid)}.new`;
  writeFileSync(fresh, content);
  renameSync(fresh, file);
}

async function build(part: Part): Promise<boolean> {
  const inputs = filesBelow(part.inputs);
  const hash = inputsHash(inputs);
  const stamp = join(part.output, '.inputs');
  // The stamp's first line is the hash, the others are the files that it stands for.
  const [builtHash, ...built] = existsSync(stamp) ? readFileSync(stamp, 'utf8').trimEnd().split('\n') : [];
  if (builtHash === hash && built.every((file) => existsSync(join(part.output, file)))) return false;

  const entryPoints = inputs.filter((file) => dirname(file) === part.entries && /(?<!\.d)\.ts$/.test(file));
  const outputs = new Map<string, Uint8Array>();
  if (entryPoints.length > 0) {
    const { build: bundle } = await import('esbuild');
    const result = await bundle({
      format: 'esm',
      bundle: true,
      legalComments: 'none',
      logLevel: 'warning',
      ...part.esbuild,
      entryPoints,
      outdir: part.output,
      absWorkingDir: ROOT,
      write: false,
    });
    for (const { path, contents } of result.outputFiles) outputs.set(relative(part.output, path), contents);
  }
  if (part.copyOthers) {
    for (const file of inputs.filter(
      (input) => !input.endsWith('.ts') && basename(input) !== 'tsconfig.json',
    )) {
      outputs.set(relative(part.inputs, file), readFileSync(file));
    }
  }

  for (const [file, content] of outputs) put(join(part.output, file), content);
  for (const file of built.filter((old) => !outputs.has(old)))
    rmSync(join(part.output, file), { force: true });
  put(stamp, [hash, ...outputs.keys(), ''].join('\n'));
  return true;
}

if (isMainModule(import.meta.url)) {
  const parts = { pipelines: await buildPipelines(), web: await buildWeb() };
  const done = Object.entries(parts).filter(([, wasBuilt]) => wasBuilt);
  if (done.length > 0) process.stderr.write(`built dist/{${done.map(([name]) => name).join(',')}}\n`);
  // For ./sluice, which compares times before it starts Node at all.
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  writeFileSync(join(ROOT, 'dist/.built'), '');
}
