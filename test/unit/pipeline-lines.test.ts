import { expect, test } from 'vitest';

import { parseLine } from '../../src/pipeline/lines.ts';

test('answers, refusals and events', () => {
  expect(parseLine('{"id":1,"ok":{"port":5}}')).toEqual({ type: 'answer', id: 1, ok: { port: 5 } });
  expect(parseLine('{"id":2,"error":"no"}')).toEqual({ type: 'failure', id: 2, error: 'no' });
  expect(parseLine('{"event":"eos"}')).toEqual({ type: 'event', event: { event: 'eos' } });
  expect(parseLine('{"event":"trackFormat","trackId":"t","width":640}')).toEqual({
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
  expect(() => parseLine(line)).toThrow(hint);
});
