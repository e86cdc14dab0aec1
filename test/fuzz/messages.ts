/** Messages of LiveKit's API, made up from their descriptors: plausible ones, with odd values among them. */
import type { FieldInfo, Message, MessageType } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { among, NUMBERS, STRINGS, upTo } from './damage.ts';
import type { Next } from './fuzzer.ts';

/** Values that lead further, by the end of a field's name. Addresses only: no names are looked up. */
export type Hints = readonly (readonly [RegExp, readonly string[]])[];

const MOST_DEPTH = 4;
const BIG = [0n, 1n, -1n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];

/** @param odd share of values that are odd rather than plausible */
export function makeMessage(type: MessageType, next: Next, hints: Hints, odd = 0.15): Message {
  return new type(partial(type, next, { hints, odd }, 0));
}

interface Ways {
  hints: Hints;
  odd: number;
}

function partial(type: MessageType, next: Next, ways: Ways, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const field of type.fields.list()) {
    // Most fields of most messages are left out; those that lead further rarely.
    const hinted = hintOf(field, ways.hints) !== undefined;
    if (next() > (hinted ? 0.75 : 0.06)) continue;
    const value = field.repeated
      ? Array.from({ length: upTo(next, 3) }, () => one(field, next, ways, depth))
      : one(field, next, ways, depth);
    if (value === undefined) continue;
    if (field.oneof) out[field.oneof.localName] = { case: field.localName, value };
    else out[field.localName] = value;
  }
  return out;
}

function hintOf(field: FieldInfo, hints: Hints): readonly string[] | undefined {
  return hints.find(([name]) => name.test(field.name))?.[1];
}

function one(field: FieldInfo, next: Next, ways: Ways, depth: number): unknown {
  switch (field.kind) {
    case 'scalar': {
      const hint = hintOf(field, ways.hints);
      if (hint && field.T === ScalarType.STRING && next() > ways.odd) return among(next, hint);
      return scalar(field.T, next, ways.odd);
    }
    case 'enum':
      return next() < ways.odd ? among(next, [-1, 99, 2147483647]) : among(next, field.T.values).no;
    case 'message':
      return depth < MOST_DEPTH ? partial(field.T, next, ways, depth + 1) : undefined;
    case 'map':
      return Object.fromEntries(
        Array.from({ length: upTo(next, 2) }, () => [
          among(next, STRINGS),
          field.V.kind === 'scalar' ? scalar(field.V.T, next, ways.odd) : undefined,
        ]).filter(([, value]) => value !== undefined),
      );
  }
}

function scalar(type: ScalarType, next: Next, odd: number): unknown {
  const isOdd = next() < odd;
  switch (type) {
    case ScalarType.STRING:
      return isOdd ? among(next, STRINGS) : among(next, ['a', 'room', 'name-1', 'x.mp4']);
    case ScalarType.BOOL:
      return next() < 0.5;
    case ScalarType.BYTES:
      return Buffer.from(among(next, STRINGS));
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return among(next, BIG);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return among(
        next,
        BIG.filter((value) => value >= 0n),
      );
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return isOdd ? among(next, [NaN, Infinity, -Infinity, -1, 1e30]) : upTo(next, 100);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return isOdd ? among(next, [0xffffffff, 0x7fffffff, 0]) : upTo(next, 3000);
    default:
      return isOdd ? Math.trunc(among(next, NUMBERS)) | 0 : upTo(next, 3000);
  }
}
