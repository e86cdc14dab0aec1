/** The README's quick start, as it is written there. */
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { gridRegion, publish } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import { startFfmpegReceiver } from '../support/rtmp.ts';
import type { FfmpegReceiver } from '../support/rtmp.ts';
import { Sluice } from '../support/sluice.ts';
import { runTool } from '../../src/demo/content/tool.ts';

const ROOT = new URL('../../', import.meta.url).pathname;

/** The code block that follows `<!-- test: name -->`. */
async function example(name: string): Promise<string> {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const block = new RegExp(`<!-- test: ${name} -->\\s+\`\`\`js\\n([\\s\\S]*?)\`\`\``).exec(readme)?.[1];
  if (block === undefined) throw new Error(`the README has no example ${name}`);
  return block;
}

describe('quick start', () => {
  let sluice: Sluice;
  let publisher: TestPublisher;
  let receiver: FfmpegReceiver;
  let folder: string;
  let printed: string[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-readme-'));
    sluice = await Sluice.start();
    receiver = await startFfmpegReceiver();
    publisher = await publish(sluice, 'demo', 'alice', { color: 'blue', fps: 15 });
    await writeFile(join(folder, 'example.mjs'), await example('quick-start'));
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const env = ['-u', 'NODE_OPTIONS', `SLUICE_URL=${sluice.url}`, `RTMP_URL=${receiver.url}`];
    const { stdout } = await runTool('env', [...env, process.execPath, join(folder, 'example.mjs')]);
    printed = stdout.trim().split(/\s+/);
    await receiver.done;
  });

  afterAll(async () => {
    await publisher?.stop();
    await receiver?.close();
    await sluice?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('prints where the recording and the broadcast are, and both hold the call', async () => {
    expect(printed).toHaveLength(2);
    for (const location of printed) {
      const { duration, tiles } = await analyse(location, {
        tiles: [{ name: 'alice', color: 'blue', region: gridRegion(0, 1), fps: 15, from: 1.5 }],
      });
      expect(duration).toBeGreaterThan(8.5);
      expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
      expect(tiles[0]?.color.closest).toBe('blue');
    }
  });

  it('sends the call to the RTMP destination', async () => {
    const { tiles } = await analyse(receiver.file, {
      tiles: [{ name: 'alice', color: 'blue', region: gridRegion(0, 1), fps: 15, from: 1.5 }],
    });
    expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
  });
});
