import { describe, expect, it } from 'vitest';
import { foldLog } from '../../src/egress/log/fold.ts';
import type { AttemptContent } from '../../src/egress/log/fold.ts';
import { parseIndex, parseIndexLine } from '../../src/egress/log/index-line.ts';
import type { Chunk } from '../../src/egress/log/types.ts';
import { chunkLine, EPOCH_MS } from '../support/log-fixtures.ts';

const head = { egressId: 'EG_1', epochMs: EPOCH_MS, container: 'mpegts' } as const;

function attempt(chunks: Chunk[], change: Partial<AttemptContent> = {}): AttemptContent {
  return { chunks, gaps: [], events: [], endNs: undefined, problems: [], ...change };
}

describe('folding attempts into one log', () => {
  it('orders by attempt, run and number, and adds up', () => {
    const log = foldLog(head, [
      attempt([chunkLine(2, 2, { number: 1 }), chunkLine(0, 2, { number: 0 })]),
      attempt([
        chunkLine(6, 2, { attempt: 2, run: 1, number: 0 }),
        chunkLine(4, 2, { attempt: 2, number: 0 }),
      ]),
    ]);
    expect(log.chunks.map((chunk) => chunk.startNs / 1e9)).toEqual([0, 2, 4, 6]);
    expect(log).toMatchObject({ videoFrames: 240, complete: false, endNs: 8e9, gaps: [], problems: [] });
  });

  it.each([
    ['another worker took over', { attempt: 2 }],
    ['the pipeline was restarted', { run: 1 }],
    ['no media', {}],
  ])('finds the gap where %s', (reason, change) => {
    const log = foldLog(head, [attempt([chunkLine(0, 2), chunkLine(5, 2, change)])]);
    expect(log.gaps).toEqual([{ type: 'gap', startNs: 2e9, endNs: 5e9, reason }]);
  });

  it('takes jitter for none', () => {
    expect(foldLog(head, [attempt([chunkLine(0, 2), chunkLine(2.2, 2)])]).gaps).toEqual([]);
  });

  it('tells between two pipelines also of little', () => {
    const log = foldLog(head, [attempt([chunkLine(0, 2), chunkLine(2.2, 2, { run: 1 })])]);
    expect(log.gaps.map(({ reason }) => reason)).toEqual(['the pipeline was restarted']);
  });

  it('does not find again what was recorded', () => {
    const gap = { type: 'gap', startNs: 2e9, endNs: 4e9, reason: 'the chunk file is missing' } as const;
    const log = foldLog(head, [attempt([chunkLine(0, 2), chunkLine(4, 2)], { gaps: [gap] })]);
    expect(log.gaps).toEqual([gap]);
  });

  it('ends with its end line', () => {
    const log = foldLog(head, [attempt([chunkLine(0, 2)], { endNs: 9e9 })]);
    expect(log).toMatchObject({ complete: true, endNs: 9e9 });
  });

  it('says when time goes backwards', () => {
    const log = foldLog(head, [attempt([chunkLine(4, 2, { number: 0 }), chunkLine(0, 2, { number: 1 })])]);
    expect(log.problems).toEqual(['r0-000001.ts starts before r0-000000.ts in time']);
  });
});

describe('index lines', () => {
  const { path: _, ...line } = chunkLine(0, 2);
  const text = JSON.stringify(line);

  it.each([
    ['of a chunk', line],
    ['of what was dropped', { type: 'dropped', attempt: 2, run: 0, number: 7 }],
    ['of a restart', { type: 'event', atNs: 1, wallMs: 1, name: 'pipeline_restart', data: { reason: 'x' } }],
  ])('%s come back as they were written', (_, written) =>
    expect(parseIndexLine(JSON.stringify(written))).toEqual(written),
  );

  it.each([
    ['half a line', text.slice(0, 40)],
    ['another type', '{"type":"other"}'],
    ['a file in another folder', JSON.stringify({ ...line, file: '../../etc/passwd' })],
    ['a negative size', JSON.stringify({ ...line, bytes: -1 })],
    ['no object', '7'],
  ])('that are %s are not taken', (_, bad) => expect(parseIndexLine(bad)).toBeUndefined());

  it('count up to the seal, and only whole ones', () => {
    const bytes = Buffer.from(`${text}\n${text}\nnot json\n${text}`);
    expect(parseIndex(bytes)).toMatchObject({
      lines: [line, line],
      invalid: [3],
      wholeBytes: bytes.length - text.length,
    });
    expect(parseIndex(bytes, text.length + 5)).toMatchObject({ lines: [line], wholeBytes: text.length + 1 });
    expect(parseIndex(Buffer.alloc(0))).toEqual({ lines: [], invalid: [], wholeBytes: 0 });
  });
});
