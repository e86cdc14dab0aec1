/** The line protocol of the gjs programs: each line is of the protocol and checked, or refused with an Error. */
import assert from 'node:assert/strict';
import { ZodError } from 'zod';
import { egressProtocol } from '../../src/pipeline/egress-protocol.ts';
import { ingressProtocol } from '../../src/pipeline/ingress-protocol.ts';
import { parseLine } from '../../src/pipeline/lines.ts';
import { among, damageJson, damageText } from './damage.ts';
import { fuzzer } from './fuzzer.ts';
import type { Outcome } from './fuzzer.ts';

const LINES: readonly unknown[] = [
  { id: 1, ok: {} },
  { id: 2, ok: { port: 5004 } },
  { id: 3, error: 'no such track' },
  { id: 4, ok: { elements: [{ name: 'a', factory: 'b', klass: 'Source' }] } },
  { event: 'ready', pid: 4711 },
  { event: 'warning', message: 'late' },
  { event: 'error', message: 'not negotiated', element: 'mux' },
  { event: 'eos' },
  { event: 'chunk', file: 'r0-000001.ts', index: 1, startNs: 0, durationNs: 2e9 },
  { event: 'trackFormat', trackId: 'TR_1', width: 640, height: 360, framerate: 30 },
  { event: 'trackFlow', trackId: 'TR_1', flowing: true },
  { event: 'trackError', trackId: 'TR_1', message: 'gone' },
  { event: 'trackSync', trackId: 'TR_1', offsetNs: -3 },
  { event: 'trackLevel', trackId: 'TR_1', rms: -20.5 },
];
const EVENTS = new Set(LINES.map((line) => (line as { event?: string }).event));

function read(line: string, protocol: Parameters<typeof parseLine>[1]): Outcome {
  try {
    const parsed = parseLine(line, protocol);
    if (parsed.type === 'event') return { kind: `event ${parsed.event.event}`, past: true };
    assert.ok(Number.isInteger(parsed.id));
    return { kind: parsed.type, past: true };
  } catch (error) {
    if (error instanceof ZodError) return { kind: 'not of the protocol', past: true };
    if (error instanceof SyntaxError) return { kind: 'no JSON', past: false };
    throw error;
  }
}

export const linesFuzzer = fuzzer({
  name: 'lines',
  about: 'lines that a pipeline program writes to its host',
  count: 2000,
  start: () => ({
    make(index, next) {
      const line = damageJson(among(next, LINES), next, 6);
      const text = JSON.stringify(line) ?? '';
      const bytes = next() < 0.3 ? damageText(text, next) : Buffer.from(text);
      return { description: `line ${index}`, bytes };
    },
    run({ bytes }) {
      const line = bytes.toString('utf8').replaceAll('\n', ' ');
      const outcome = read(line, egressProtocol);
      read(line, ingressProtocol);
      if (outcome.kind.startsWith('event ')) assert.ok(EVENTS.has(outcome.kind.slice(6)));
      assert.equal((Object.prototype as { polluted?: unknown }).polluted, undefined);
      return outcome;
    },
  }),
});
