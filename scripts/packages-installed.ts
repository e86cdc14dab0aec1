/**
 * Exits with 0 when node_modules holds what package-lock.json asks for, and 1 when `npm ci` has to run.
 * Compares the lock file with npm's own record of what it installed, so that a tree that `npm install` has
 * just brought up to date is not thrown away.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { isMainModule } from './main-module.ts';

interface LockedPackage {
  version?: string;
  integrity?: string;
  optional?: boolean;
  devOptional?: boolean;
}

export interface Lock {
  packages: Record<string, LockedPackage>;
}

/**
 * Whether the installed packages are the locked ones. A package that is optional may be absent: npm leaves out
 * those of other platforms.
 */
export function isInstalled(lock: Lock, installed: Lock): boolean {
  const same = (path: string, { version, integrity }: LockedPackage): boolean =>
    installed.packages[path]?.version === version && installed.packages[path]?.integrity === integrity;
  const complete = Object.entries(lock.packages).every(
    ([path, locked]) =>
      path === '' ||
      (path in installed.packages
        ? same(path, locked)
        : locked.optional === true || locked.devOptional === true),
  );
  return complete && Object.keys(installed.packages).every((path) => path in lock.packages);
}

function read(path: string): Lock {
  return JSON.parse(readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8')) as Lock;
}

if (isMainModule(import.meta.url)) {
  try {
    process.exitCode = isInstalled(read('package-lock.json'), read('node_modules/.package-lock.json'))
      ? 0
      : 1;
  } catch {
    process.exitCode = 1;
  }
}
