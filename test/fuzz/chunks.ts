/** Chunks of the segment log, MPEG-TS and Matroska, after crashes and bad discs: described, or an InspectError. */
import assert from 'node:assert/strict';
import { InspectError } from '../../src/egress/log/inspection.ts';
import type { Inspection } from '../../src/egress/log/inspection.ts';
import { inspectMkv } from '../../src/egress/log/mkv-inspect.ts';
import { inspectTs } from '../../src/egress/log/ts-inspect.ts';
import { chunkUnits } from '../support/log-fixtures.ts';
import { buildMkv } from '../support/mkv-builder.ts';
import { mutate } from '../support/mutate.ts';
import { buildTs } from '../support/ts-builder.ts';
import { among, upTo } from './damage.ts';
import { fuzzer } from './fuzzer.ts';
import type { FuzzInput, Next } from './fuzzer.ts';

interface Chunk extends FuzzInput {
  container: 'ts' | 'mkv';
  closed: boolean;
}

const SEEDS = [
  { container: 'ts' as const, bytes: buildTs(chunkUnits(0, 0.4)) },
  { container: 'ts' as const, bytes: buildTs(chunkUnits(95_000, 0.3), { tables: 'first' }) },
  ...[true, false].map((sized) => ({
    container: 'mkv' as const,
    bytes: buildMkv(
      Array.from({ length: 3 }, (_, i) => [
        { kind: 'video' as const, at: i * 100, key: i === 0 },
        { kind: 'audio' as const, at: i * 100 + 5 },
        { kind: 'video' as const, at: i * 100 + 40 },
      ]),
      sized,
    ),
  })),
];

function damaged(bytes: Buffer, container: 'ts' | 'mkv', next: Next): Buffer {
  if (next() < 0.4) return mutate(bytes, next);
  const out = Buffer.from(bytes);
  for (let i = 1 + upTo(next, 5); i > 0; i--) {
    // Of MPEG-TS the headers of packets; of Matroska the first bytes, which are all header.
    const at =
      container === 'ts'
        ? upTo(next, Math.floor(out.length / 188) - 1) * 188 + upTo(next, 30)
        : upTo(next, Math.min(out.length - 1, 400));
    out[at] = among(next, [0, 1, 0x40, 0x47, 0x7f, 0x80, 0xff, upTo(next, 255)]);
  }
  return out;
}

function sane({ bytes, wholeBytes, video, audio }: Inspection, size: number): void {
  assert.equal(bytes, size);
  assert.ok(wholeBytes >= 0 && wholeBytes <= size, `${wholeBytes} whole bytes of ${size}`);
  for (const part of [video, audio]) {
    if (!part) continue;
    assert.ok(
      Number.isFinite(part.startNs) && Number.isFinite(part.endNs),
      `${part.startNs} to ${part.endNs} ns`,
    );
    assert.ok(part.endNs >= part.startNs, `it ends ${part.startNs - part.endNs} ns before it begins`);
  }
  for (const { offset } of video?.changes ?? []) assert.ok(offset >= 0 && offset <= size);
}

export const chunksFuzzer = fuzzer<Chunk>({
  name: 'chunks',
  about: 'MPEG-TS and Matroska chunks of the segment log',
  count: 4000,
  start: () => ({
    make(index, next) {
      const { container, bytes } = SEEDS[index % SEEDS.length]!;
      const description = `${container}, ${index}`;
      return { description, bytes: damaged(bytes, container, next), container, closed: next() < 0.5 };
    },
    run({ container, bytes, closed }) {
      try {
        const seen = container === 'ts' ? inspectTs(bytes, { closed, nearNs: 0 }) : inspectMkv(bytes);
        sane(seen, bytes.length);
        const what = [seen.video && 'video', seen.audio && 'audio'].filter(Boolean).join('+') || 'nothing';
        return { kind: `${container}: ${what}`, past: seen.video !== null || seen.audio !== null };
      } catch (error) {
        if (!(error instanceof InspectError)) throw error;
        return {
          kind: `${container}: refused, ${error.message.replaceAll(/\d+/g, 'N').slice(0, 60)}`,
          past: false,
        };
      }
    },
  }),
});
