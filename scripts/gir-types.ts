/**
 * Generates the TypeScript types of GLib and GStreamer for the gjs programs in pipelines/ from the system's
 * GIR files into pipelines/types (not in version control), so that they are checked against the library
 * versions they run on. Does nothing when that was done already for the same GIR files.
 *
 *   node scripts/gir-types.ts
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { isMainModule } from './main-module.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TYPES = join(ROOT, 'pipelines/types');
const GENERATOR = join(ROOT, 'node_modules/@ts-for-gir/cli/package.json');
const GIR_FOLDER = '/usr/share/gir-1.0';
const GIR_PACKAGES = [
  'libgirepository1.0-dev',
  'libgstreamer1.0-dev',
  'libgstreamer-plugins-base1.0-dev',
  'libgstreamer-plugins-bad1.0-dev',
];
/** What the programs import; the generator adds what these depend on. */
const MODULES = [
  'GLib-2.0',
  'GObject-2.0',
  'Gio-2.0',
  'Gst-1.0',
  'GstApp-1.0',
  'GstAudio-1.0',
  'GstRtp-1.0',
  'GstSdp-1.0',
  'GstVideo-1.0',
  'GstWebRTC-1.0',
];

/** Hash of everything the generated types follow from. */
function inputsHash(girFiles: string[]): string {
  const hash = createHash('sha256')
    .update(readFileSync(GENERATOR))
    .update(readFileSync(fileURLToPath(import.meta.url)));
  for (const file of girFiles) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${file} ${String(size)} ${String(mtimeMs)}\n`);
  }
  return hash.digest('hex');
}

/**
 * Brings pipelines/types up to date.
 * @returns whether they had to be generated.
 * @throws Error when a GIR file or the generator is missing, or the generator fails.
 */
export function generateGirTypes(): boolean {
  const girFiles = MODULES.map((module) => join(GIR_FOLDER, `${module}.gir`));
  const missing = girFiles.filter((file) => !existsSync(file));
  if (missing.length > 0) {
    throw new Error(
      `cannot generate pipelines/types, missing ${missing.join(', ')}; install: sudo apt-get install -y ${GIR_PACKAGES.join(' ')}`,
    );
  }
  if (!existsSync(GENERATOR)) throw new Error('cannot generate pipelines/types: run npm ci first');

  const hash = inputsHash(girFiles);
  const stamp = join(TYPES, '.inputs');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return false;

  // Beside the target, so that the finished folder is put in place by a rename.
  const fresh = mkdtempSync(join(ROOT, 'pipelines/.types-'));
  try {
    const run = spawnSync(
      join(ROOT, 'node_modules/.bin/ts-for-gir'),
      ['generate', ...MODULES, '--girDirectories', GIR_FOLDER, '--outdir', fresh, '--root', fresh],
      { cwd: fresh, encoding: 'utf8' },
    );
    if (run.error) throw run.error;
    if (run.status !== 0 || !existsSync(join(fresh, 'gst-1.0.d.ts'))) {
      throw new Error(`ts-for-gir failed with exit code ${String(run.status)}:\n${run.stdout}${run.stderr}`);
    }
    writeFileSync(join(fresh, '.inputs'), hash);
    rmSync(TYPES, { recursive: true, force: true });
    renameSync(fresh, TYPES);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return true;
}

if (isMainModule(import.meta.url)) {
  try {
    if (generateGirTypes()) process.stderr.write('generated pipelines/types from the GIR files\n');
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
