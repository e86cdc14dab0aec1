/** The lines of docs/ingress.md and the README's example of an ingress, as they are written there. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runTool } from '../../src/demo/content/tool.ts';
import { makeClip } from '../support/content/clip.ts';
import { ingressClient, isPublishing, participantWith, waitForIngress } from '../support/ingress.ts';
import { startRtspCamera } from '../support/rtsp-camera.ts';
import { Sluice } from '../support/sluice.ts';

const ROOT = new URL('../../', import.meta.url).pathname;

/** The code block that follows `<!-- test: name -->`. */
async function example(name: string, document = 'docs/ingress.md'): Promise<string> {
  const text = await readFile(join(ROOT, document), 'utf8');
  const block = new RegExp(`<!-- test: ${name} -->\\s+\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1];
  if (block === undefined) throw new Error(`${document} has no example ${name}`);
  return block;
}

describe('docs/ingress.md', () => {
  let folder: string;
  let sluice: Sluice;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-docs-'));
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    await makeClip(join(folder, 'clip.mp4'), { seconds: 15 });
    sluice = await Sluice.start({ env: { SLUICE_INGRESS_ALLOW_NETWORKS: '127.0.0.0/8' } });
  }, 60_000);

  afterAll(async () => {
    await sluice?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs a JavaScript example; answers the words it printed. */
  async function create(
    name: string,
    env: Record<string, string> = {},
    document?: string,
  ): Promise<string[]> {
    const file = join(folder, `${name}.mjs`);
    await writeFile(file, await example(name, document));
    const set = Object.entries({ SLUICE_URL: sluice.url, ...env }).map(([key, value]) => `${key}=${value}`);
    const { stdout } = await runTool('env', ['-u', 'NODE_OPTIONS', ...set, process.execPath, file]);
    return stdout.trim().split(/\s+/);
  }

  it.each(['ffmpeg-rtmp', 'gstreamer-rtmp'])('brings %s into the room', async (line) => {
    const [url = '', key = ''] = await create('create-rtmp');
    const child = spawn('sh', ['-c', await example(line)], {
      env: { ...process.env, RTMP_URL: url, STREAM_KEY: key, CLIP: join(folder, 'clip.mp4') },
      stdio: 'ignore',
      detached: true,
    });
    const client = ingressClient(sluice);
    try {
      const ingresses = await client.listIngress({ roomName: 'studio' });
      const { ingressId } = ingresses.find(({ streamKey }) => streamKey === key)!;
      const { state } = await waitForIngress(sluice, ingressId, isPublishing);
      expect(state?.tracks).toHaveLength(2);
      const { tracks } = await participantWith(sluice, 'studio', 'obs', 2);
      expect(tracks.map(({ mimeType }) => mimeType.toLowerCase()).sort()).toEqual([
        'audio/opus',
        'video/h264',
      ]);
      await client.deleteIngress(ingressId);
    } finally {
      if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL');
    }
  });

  it("answers the README's example with a server and a key for OBS", async () => {
    const [url, key] = await create('ingress', {}, 'README.md');
    expect(url).toMatch(/^rtmp:\/\/.+\/live$/);
    expect(key).toMatch(/^\S{10,}$/);
  });

  it('brings a camera into the room, and never shows its password again', async () => {
    const camera = await startRtspCamera({ user: 'user', password: 'pass-word-9' });
    try {
      const [shown = ''] = await create('create-camera', { CAMERA_URL: camera.url });
      expect(shown).toMatch(/^rtsp:/);
      expect(shown).not.toContain('pass-word-9');
      await participantWith(sluice, 'studio', 'front-door', 1);
      expect(sluice.tail(1_000_000)).not.toContain('pass-word-9');
    } finally {
      await camera.stop();
    }
  });
});
