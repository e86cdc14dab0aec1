import { expect, test } from 'vitest';

import { egressProtocol } from '../../src/pipeline/egress-protocol.ts';
import { ingressProtocol } from '../../src/pipeline/ingress-protocol.ts';
import { parseLine } from '../../src/pipeline/lines.ts';

test('answers, refusals and events', () => {
  expect(parseLine('{"id":1,"ok":{"port":5}}', egressProtocol)).toEqual({
    type: 'answer',
    id: 1,
    ok: { port: 5 },
  });
  expect(parseLine('{"id":2,"error":"no"}', egressProtocol)).toEqual({ type: 'failure', id: 2, error: 'no' });
  expect(parseLine('{"event":"eos"}', egressProtocol)).toEqual({ type: 'event', event: { event: 'eos' } });
  expect(parseLine('{"event":"trackFormat","trackId":"t","width":640}', egressProtocol)).toEqual({
    type: 'event',
    event: { event: 'trackFormat', trackId: 't', width: 640 },
  });
});

test.each([
  ['', 'JSON'],
  ['hello', 'JSON'],
  ['{"event":"party"}', 'event'],
  ['{"id":"one","ok":{}}', 'id'],
  ['{"event":"chunk","file":"../../etc/passwd","index":0,"startNs":0,"durationNs":0}', 'file'],
  ['{"event":"chunk","file":"a","index":-1,"startNs":0,"durationNs":0}', 'index'],
])('%s is refused', (line, hint) => {
  expect(() => parseLine(line, egressProtocol)).toThrow(hint);
});

test('each program has events of its own', () => {
  const flowing = '{"event":"flowing","kind":"audio"}';
  expect(parseLine(flowing, ingressProtocol)).toEqual({
    type: 'event',
    event: { event: 'flowing', kind: 'audio' },
  });
  expect(() => parseLine(flowing, egressProtocol)).toThrow('event');
  expect(() => parseLine('{"event":"inputFormat","kind":"video","width":-2}', ingressProtocol)).toThrow(
    'width',
  );
});
