/** What ingresses are sent as FLV and Matroska: the streaming inspectors never throw, and hold little. */
import assert from 'node:assert/strict';
import { FlvInspector, MkvInspector } from '../../src/ingress/inputs/inspect/index.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildMkv } from '../support/mkv-builder.ts';
import { mutate } from '../support/mutate.ts';
import { among, upTo } from './damage.ts';
import { fuzzer } from './fuzzer.ts';
import type { FuzzInput, Next } from './fuzzer.ts';

type Container = 'flv' | 'matroska';
interface Source extends FuzzInput {
  container: Container;
  /** Bytes a push. */
  step: number;
}

async function clips(): Promise<{ container: Container; bytes: Buffer }[]> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-fuzz-'));
  const make = async (container: Container, ending: string, ...codecs: string[]) => {
    const file = join(folder, `${codecs.length}-${ending}`);
    await runTool('ffmpeg', [
      ...'-v error -nostdin -y -f lavfi -i testsrc2=s=96x64:r=10 -f lavfi -i sine -t 0.6'.split(' '),
      ...['-pix_fmt', 'yuv420p', ...codecs, '-f', container, file],
    ]);
    return { container, bytes: await readFile(file) };
  };
  try {
    return await Promise.all([
      make('flv', 'a.flv', ...'-c:v libx264 -preset ultrafast -c:a aac'.split(' ')),
      make('flv', 'b.flv', ...'-c:v libx264 -preset veryfast -bf 2 -c:a libmp3lame -ac 1'.split(' ')),
      make('matroska', 'a.mkv', ...'-c:v libx264 -preset ultrafast -c:a aac'.split(' ')),
      make('matroska', 'b.mkv', ...'-c:v libvpx -deadline realtime -c:a libopus -ac 2 -b:a 64k'.split(' ')),
    ]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Sizes and lengths at the edges, where headers are. */
function poke(bytes: Buffer, next: Next): Buffer {
  const out = Buffer.from(bytes);
  for (let i = 1 + upTo(next, 6); i > 0; i--) {
    const at = upTo(next, Math.min(out.length - 9, next() < 0.7 ? 700 : out.length));
    const value = among(next, [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 0x01ffffff]);
    if (next() < 0.5) out[Math.max(0, at)] = value & 0xff;
    else out.writeUInt32BE(value >>> 0, Math.max(0, at));
  }
  return out;
}

export const sourcesFuzzer = fuzzer<Source>({
  name: 'sources',
  about: 'FLV and Matroska of ingress sources',
  count: 2500,
  async start() {
    const seeds = [
      ...(await clips()),
      {
        container: 'matroska' as const,
        bytes: buildMkv([
          [
            { kind: 'video', at: 0, key: true },
            { kind: 'audio', at: 3 },
          ],
          [{ kind: 'video', at: 40 }],
        ]),
      },
    ];
    return {
      make(index, next) {
        const { container, bytes } = seeds[index % seeds.length]!;
        const damaged = next() < 0.5 ? poke(bytes, next) : mutate(bytes, next);
        const step = next() < 0.1 ? 1 + upTo(next, 40) : 1 + upTo(next, 20_000);
        return { description: `${container}, ${index}`, bytes: damaged, container, step };
      },
      run({ container, bytes, step }) {
        const inspector = container === 'flv' ? new FlvInspector() : new MkvInspector();
        for (let at = 0; at < bytes.length; at += step) inspector.push(bytes.subarray(at, at + step));
        inspector.settle();
        inspector.measures();
        const { description, failure } = inspector;
        if (failure) assert.match(failure.message, /^[\x20-\x7e]{8,300}$/);
        for (const size of [description?.video?.width, description?.video?.height]) {
          if (size !== undefined) assert.ok(Number.isSafeInteger(size) && size >= 0, `a size of ${size}`);
        }
        const rate = description?.video?.framerate;
        if (rate !== undefined) assert.ok(rate >= 0 && Number.isFinite(rate), `${rate} pictures a second`);
        const found = [description?.video?.codec, description?.audio?.codec].filter(Boolean).join('+');
        return {
          kind: `${container}: ${failure ? failure.message.replaceAll(/\d+/g, 'N').slice(0, 60) : found || 'nothing found'}`,
          past: description !== undefined,
        };
      },
    };
  },
});
