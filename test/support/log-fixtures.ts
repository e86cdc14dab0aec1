/** Logs and their parts for tests: chunks as lines, folders that go away, a storage in memory, a silent logger. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Chunk } from '../../src/egress/log/types.ts';
import type { PutOptions, Storage, StoredObject } from '../../src/storage/types.ts';
import { adts, buildTs } from './ts-builder.ts';
import type { BuiltUnit } from './ts-builder.ts';

export const silent = pino({ level: 'silent' });

export const EPOCH_MS = Date.UTC(2026, 0, 31, 12);

/** Runs `work` with a folder that is removed afterwards. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-log-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A chunk line; times in seconds. */
export function chunkLine(startS: number, durationS: number, change: Partial<Chunk> = {}): Chunk {
  const number = change.number ?? Math.round(startS / 2);
  const run = change.run ?? 0;
  const file = change.file ?? `r${run}-${String(number).padStart(6, '0')}.ts`;
  return {
    type: 'chunk',
    attempt: 1,
    run,
    number,
    file,
    startNs: Math.round(startS * 1e9),
    durationNs: Math.round(durationS * 1e9),
    wallMs: Math.round(EPOCH_MS + startS * 1000),
    bytes: 188_000,
    videoFrames: Math.round(durationS * 30),
    audioFrames: Math.round(durationS * 47),
    keyFrames: 1,
    video: [{ codec: 'h264', width: 640, height: 360, parametersHash: 'a' }],
    audio: { codec: 'aac', sampleRate: 48_000, channels: 2 },
    path: `/nowhere/${file}`,
    ...change,
  };
}

/** Units of a chunk: pictures at 30 a second, a keyframe first, sound. */
export function chunkUnits(startS: number, seconds = 2, keyData?: Uint8Array): BuiltUnit[] {
  return Array.from({ length: Math.round(seconds * 30) }, (_, i): BuiltUnit[] => [
    {
      kind: 'video',
      at: startS + i / 30,
      key: i === 0,
      ...(i === 0 && keyData ? { data: keyData } : {}),
    },
    ...(i % 2 === 0 ? [{ kind: 'audio', at: startS + i / 30, data: adts(2) } as const] : []),
  ]).flat();
}

/** Writes a built chunk of MPEG-TS. */
export async function writeChunk(
  path: string,
  startS: number,
  seconds = 2,
  keyData?: Uint8Array,
): Promise<Buffer> {
  const bytes = buildTs(chunkUnits(startS, seconds, keyData));
  await writeFile(path, bytes);
  return bytes;
}

/** A storage that remembers the order of what it was given. */
export class MemoryStorage implements Storage {
  readonly away = false;
  readonly kind = 'local';
  readonly name = 'memory';
  readonly objects = new Map<string, Buffer>();
  /** Keys in the order they were put. */
  readonly puts: string[] = [];
  /** Thrown by the next puts, one each. */
  readonly failures: Error[] = [];

  async putFile(): Promise<StoredObject> {
    throw new Error('not used');
  }

  async putBytes(key: string, bytes: Uint8Array, options: PutOptions): Promise<StoredObject> {
    options.signal?.throwIfAborted();
    const failure = this.failures.shift();
    if (failure) throw failure;
    this.objects.set(key, Buffer.from(bytes));
    this.puts.push(key);
    return { key, location: this.location(key), bytes: bytes.length };
  }

  async size(key: string): Promise<number | undefined> {
    return this.objects.get(key)?.length;
  }

  async delete(key: string): Promise<void> {
    this.objects.delete(key);
  }

  location(key: string): string {
    return `memory:${key}`;
  }

  async close(): Promise<void> {
    // Nothing is held open.
  }

  text(key: string): string {
    return this.objects.get(key)?.toString('utf8') ?? '';
  }
}
