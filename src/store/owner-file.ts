/** Who uses a data folder's Redis: one process at a time, and a redis-server it left behind is found and stopped. */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { identify, isRunning } from './process.ts';
import type { ProcessIdentity } from './process.ts';

const identitySchema = z.object({ pid: z.number().int().positive(), startedTicks: z.number() });
const ownerSchema = z.object({ owner: identitySchema, redis: identitySchema.optional() });
type Owner = z.infer<typeof ownerSchema>;

/** How long a redis-server that was left behind gets to save and end, ms. */
const STOP_MS = 5000;

export class OwnerFile {
  readonly #path: string;
  readonly #owner: ProcessIdentity;

  private constructor(path: string, owner: ProcessIdentity) {
    this.#path = path;
    this.#owner = owner;
  }

  /**
   * Takes the folder, after stopping a redis-server whose owner is gone.
   * @throws Error when a living process has it.
   */
  static async take(path: string): Promise<OwnerFile> {
    const self = identify(process.pid);
    if (self === undefined) throw new Error('/proc is needed, and not there');
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    for (;;) {
      if (createWhole(path, { owner: self })) return new OwnerFile(path, self);
      const there = read(path);
      if (there !== undefined) {
        if (isRunning(there.owner)) {
          throw new Error(
            `${dirname(path)} is in use by process ${there.owner.pid}: choose another data_dir`,
          );
        }
        if (there.redis !== undefined) await stopLeftBehind(there.redis);
      }
      rmSync(path, { force: true });
    }
  }

  /** Notes the redis-server that now runs. */
  setRedis(pid: number): void {
    const redis = identify(pid);
    writeFileSync(
      this.#path,
      JSON.stringify({ owner: this.#owner, ...(redis === undefined ? {} : { redis }) }),
    );
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }
}

/** Creates the file with its content at once, so that nobody reads half of it. False when there is one. */
function createWhole(path: string, content: Owner): boolean {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(content), { mode: 0o600 });
  try {
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Undefined when it is gone, or says nothing (the machine went down while it was written). */
function read(path: string): Owner | undefined {
  try {
    return ownerSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}

async function stopLeftBehind(redis: ProcessIdentity): Promise<void> {
  if (!isRunning(redis)) return;
  process.kill(redis.pid, 'SIGTERM');
  const deadline = Date.now() + STOP_MS;
  while (isRunning(redis)) {
    if (Date.now() > deadline) process.kill(redis.pid, 'SIGKILL');
    await sleep(20);
  }
}
