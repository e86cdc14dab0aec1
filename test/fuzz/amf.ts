/** AMF0 of RTMP's commands and metadata: refused with an RtmpError, or read into bounded values. */
import assert from 'node:assert/strict';
import { decodeAmf0, encodeAmf0 } from '../../src/ingress/inputs/rtmp/amf0.ts';
import type { AmfValue } from '../../src/ingress/inputs/rtmp/amf0.ts';
import { RtmpError } from '../../src/ingress/inputs/rtmp/errors.ts';
import { mutate } from '../support/mutate.ts';
import { among, NUMBERS, STRINGS, upTo } from './damage.ts';
import { fuzzer } from './fuzzer.ts';
import type { Next } from './fuzzer.ts';

const MARKERS = [0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 15, 16, 17, 255];
/** The decoder's own bound on values, and on how deep they are. */
const MOST_VALUES = 2000;
const MOST_DEPTH = 18;

function anyValue(next: Next, depth: number): AmfValue {
  switch (upTo(next, depth > 5 ? 4 : 6)) {
    case 0:
      return among(next, NUMBERS);
    case 1:
    case 2:
      return among(next, STRINGS).slice(0, 500);
    case 3:
      return next() < 0.5;
    case 4:
      return among(next, [null, undefined]);
    case 5:
      return Array.from({ length: upTo(next, 5) }, () => anyValue(next, depth + 1));
    default:
      return new Map(
        Array.from({ length: upTo(next, 5) }, () => [
          among(next, STRINGS).slice(0, 90),
          anyValue(next, depth + 1),
        ]),
      );
  }
}

function measure(value: AmfValue, depth: number): number {
  assert.ok(depth <= MOST_DEPTH, 'deeper than it may be');
  if (Array.isArray(value)) return 1 + value.reduce<number>((sum, each) => sum + measure(each, depth + 1), 0);
  if (value instanceof Map)
    return 1 + [...value.values()].reduce<number>((sum, each) => sum + measure(each, depth + 1), 0);
  return 1;
}

export const amfFuzzer = fuzzer({
  name: 'amf',
  about: 'AMF0 values of RTMP commands',
  count: 5000,
  start: () => ({
    make(index, next) {
      const values = Array.from({ length: 1 + upTo(next, 4) }, () => anyValue(next, 0));
      let bytes: Buffer = Buffer.concat([encodeAmf0('connect', 1), encodeAmf0(...values)]);
      if (next() < 0.6) bytes = mutate(bytes, next);
      if (next() < 0.3 && bytes.length > 0) bytes[upTo(next, bytes.length - 1)] = among(next, MARKERS);
      return { description: `${values.length} values, ${index}`, bytes };
    },
    run({ bytes }) {
      try {
        const values = decodeAmf0(bytes);
        const total = values.reduce<number>((sum, value) => sum + measure(value, 0), 0);
        assert.ok(total <= MOST_VALUES, `${total} values`);
        return { kind: 'read', past: true };
      } catch (error) {
        if (!(error instanceof RtmpError)) throw error;
        assert.match(error.message, /^[\x20-\x7e]{8,200}$/);
        return { kind: `refused: ${error.message.replaceAll(/\d+/g, 'N')}`, past: bytes.length > 20 };
      }
    },
  }),
});
