/** One sample of a running Sluice for the soak: what each part holds. */
import { readdirSync, statSync } from 'node:fs';
import type { Dirent } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Sluice } from '../../test/support/sluice.ts';
import { processTree, named } from './processes.ts';
import { held } from './resources.ts';

/** Names of columns, each of one part and one thing it holds. */
export type Sample = Record<string, number>;

export class Sampler {
  readonly #sluice: Sluice;
  readonly #redisPid: number;
  readonly #redis: Redis;

  constructor(sluice: Sluice, redis: { url: string; pid: number }) {
    this.#sluice = sluice;
    this.#redisPid = redis.pid;
    this.#redis = new Redis(redis.url);
  }

  async sample(): Promise<Sample> {
    const [main, ...workers] = this.#sluice.processes.map(({ child }) => child.pid ?? 0);
    if (main === undefined) throw new Error('Sluice does not run');
    const mediasoup = named(main, 'mediasoup');
    const below = workers.flatMap((worker) => processTree(worker).slice(1));
    const gjs = new Set(workers.flatMap((worker) => named(worker, 'gjs')));
    const parts = {
      server: [main],
      mediasoup,
      workers,
      pipelines: [...gjs],
      'other children': [
        ...below.filter((pid) => !gjs.has(pid)),
        ...processTree(main).filter((pid) => pid !== main && !mediasoup.includes(pid)),
      ],
      redis: [this.#redisPid],
    };
    const sample: Sample = {};
    for (const [part, pids] of Object.entries(parts))
      for (const [what, value] of Object.entries<number>({ ...held(pids) }))
        sample[`${part} ${what}`] = value;
    const memory = /^used_memory:(\d+)/m.exec(await this.#redis.info('memory'))?.[1];
    sample['redis used kB'] = Number(memory) / 1024;
    sample['redis keys'] = await this.#redis.dbsize();
    sample['data_dir MB'] = sizeOf(this.#sluice.dataDir) / 1e6;
    return sample;
  }

  close(): void {
    this.#redis.disconnect();
  }
}

/** Bytes of all files below a folder; what goes away meanwhile is not counted. */
function sizeOf(folder: string): number {
  let bytes = 0;
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return 0;
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += sizeOf(path);
    else bytes += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}
