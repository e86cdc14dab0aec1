/**
 * Downloads mediasoup's prebuilt worker into the given folder, as mediasoup's own install script would, but
 * without its fallback to a source build that downloads more.
 *
 *   node scripts/download-worker.ts <folder>
 *
 * Exits with 1, and leaves nothing in the folder, when there is none for this machine, it cannot be reached, or
 * it does not run here.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { dirname, join } from 'node:path';

import { isMainModule } from './main-module.ts';

/** For the whole download, of about 5 MB. */
const TIMEOUT_MS = 120_000;
/** What the worker exits with when it is started without being told a version: it loads and runs here. */
const EXIT_WITHOUT_VERSION = 41;

/** Address of the prebuilt worker of this mediasoup version for this machine. */
export function prebuiltWorkerUrl(version: string, repositoryUrl: string): string {
  const base =
    process.env.MEDIASOUP_WORKER_PREBUILT_DOWNLOAD_BASE_URL ??
    `${repositoryUrl.replace(/^git\+/, '').replace(/\.git$/, '')}/releases/download`;
  const kernel = process.platform === 'linux' ? `-kernel${Number(release().split('.')[0])}` : '';
  return `${base}/${version}/mediasoup-worker-${version}-${process.platform}-${process.arch}${kernel}.tgz`;
}

async function download(folder: string): Promise<void> {
  const manifest = new URL('../node_modules/mediasoup/package.json', import.meta.url);
  const { version, repository } = JSON.parse(readFileSync(manifest, 'utf8')) as {
    version: string;
    repository: { url: string };
  };
  const url = prebuiltWorkerUrl(version, repository.url);
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  const archive = new Uint8Array(await response.arrayBuffer());

  mkdirSync(dirname(folder), { recursive: true });
  const fresh = mkdtempSync(`${folder}.`);
  try {
    const tar = spawnSync('tar', ['-xzf', '-', '-C', fresh], { input: archive, encoding: 'utf8' });
    const worker = join(fresh, 'mediasoup-worker');
    if (tar.status !== 0 || !existsSync(worker))
      throw new Error(`${url} is no worker archive: ${tar.stderr}`);
    const trial = spawnSync(worker, { env: {}, stdio: 'ignore' });
    if (trial.status !== EXIT_WITHOUT_VERSION)
      throw new Error('the prebuilt worker does not run on this system');
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** An error's message with that of its cause, where `fetch` keeps the reason. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

if (isMainModule(import.meta.url)) {
  const folder = process.argv[2];
  if (folder === undefined) throw new Error('usage: node scripts/download-worker.ts <folder>');
  try {
    await download(folder);
  } catch (error) {
    process.stderr.write(`${reasonOf(error)}\n`);
    process.exitCode = 1;
  }
}
