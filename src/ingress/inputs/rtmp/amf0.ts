/** AMF0 (Adobe Action Message Format 0), as far as commands and metadata need it. Bounded: it comes from strangers. */
import { RtmpError } from './errors.ts';

/** Objects are maps: a property may be called `__proto__`. Dates are numbers (ms since 1970). */
export type AmfValue = number | boolean | string | null | undefined | AmfObject | AmfValue[];
export type AmfObject = Map<string, AmfValue>;

const MARKER = {
  number: 0x00,
  boolean: 0x01,
  string: 0x02,
  object: 0x03,
  null: 0x05,
  undefined: 0x06,
  ecmaArray: 0x08,
  objectEnd: 0x09,
  strictArray: 0x0a,
  date: 0x0b,
  longString: 0x0c,
  unsupported: 0x0d,
  xmlDocument: 0x0f,
  typedObject: 0x10,
} as const;

const MAX_DEPTH = 16;
/** Values and properties of one message. */
const MAX_VALUES = 2000;

/** The values that stand one after the other in a message. @throws RtmpError for what is broken, too deep or too much */
export function decodeAmf0(bytes: Buffer): AmfValue[] {
  const reader = new Reader(bytes);
  const values: AmfValue[] = [];
  while (!reader.done) values.push(reader.value(0));
  return values;
}

/** The first value only, with the bytes it takes. @throws RtmpError */
export function decodeFirst(bytes: Buffer): { value: AmfValue; length: number } {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  return { value, length: reader.at };
}

class Reader {
  readonly #bytes: Buffer;
  at = 0;
  #values = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  value(depth: number): AmfValue {
    if (depth > MAX_DEPTH) throw new RtmpError(`AMF values are nested deeper than ${MAX_DEPTH}`);
    if (++this.#values > MAX_VALUES) throw new RtmpError(`more than ${MAX_VALUES} AMF values in a message`);
    const marker = this.#take(1)[0];
    switch (marker) {
      case MARKER.number:
        return this.#take(8).readDoubleBE(0);
      case MARKER.boolean:
        return this.#take(1)[0] !== 0;
      case MARKER.string:
        return this.#string();
      case MARKER.longString:
      case MARKER.xmlDocument:
        return this.#take(this.#take(4).readUInt32BE(0)).toString('utf8');
      case MARKER.object:
        return this.#properties(depth);
      case MARKER.typedObject:
        this.#string();
        return this.#properties(depth);
      case MARKER.ecmaArray:
        // The count is a hint that nobody relies on; the end marker counts.
        this.#take(4);
        return this.#properties(depth);
      case MARKER.strictArray:
        return this.#array(depth);
      case MARKER.date: {
        const time = this.#take(8).readDoubleBE(0);
        this.#take(2);
        return time;
      }
      case MARKER.null:
        return null;
      case MARKER.undefined:
      case MARKER.unsupported:
        return undefined;
      default:
        throw new RtmpError(`AMF0 marker ${marker ?? 0} is not supported`);
    }
  }

  #properties(depth: number): AmfObject {
    const properties: AmfObject = new Map();
    while (true) {
      const name = this.#string();
      if (name === '' && this.#bytes[this.at] === MARKER.objectEnd) {
        this.at++;
        return properties;
      }
      properties.set(name, this.value(depth + 1));
    }
  }

  #array(depth: number): AmfValue[] {
    const count = this.#take(4).readUInt32BE(0);
    // Each value takes a byte at least, so that this refuses absurd counts before anything is made of them.
    if (count > this.#bytes.length - this.at) throw new RtmpError('an AMF array is longer than its message');
    const values: AmfValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.value(depth + 1));
    return values;
  }

  #string(): string {
    return this.#take(this.#take(2).readUInt16BE(0)).toString('utf8');
  }

  #take(count: number): Buffer {
    if (count > this.#bytes.length - this.at) throw new RtmpError('an AMF value ends beyond its message');
    this.at += count;
    return this.#bytes.subarray(this.at - count, this.at);
  }
}

/** Values as a message's body. Strings over 65535 bytes are none of ours. */
export function encodeAmf0(...values: AmfValue[]): Buffer {
  return Buffer.concat(values.map(encode));
}

function encode(value: AmfValue): Buffer {
  switch (typeof value) {
    case 'number': {
      const bytes = Buffer.alloc(9);
      bytes.writeDoubleBE(value, 1);
      return bytes;
    }
    case 'boolean':
      return Buffer.from([MARKER.boolean, value ? 1 : 0]);
    case 'string':
      return Buffer.concat([Buffer.from([MARKER.string]), shortString(value)]);
    case 'undefined':
      return Buffer.from([MARKER.undefined]);
    default:
      return value === null ? Buffer.from([MARKER.null]) : encodeComposite(value);
  }
}

function encodeComposite(value: AmfObject | AmfValue[]): Buffer {
  if (Array.isArray(value)) {
    const head = Buffer.alloc(5);
    head[0] = MARKER.strictArray;
    head.writeUInt32BE(value.length, 1);
    return Buffer.concat([head, ...value.map(encode)]);
  }
  const properties = [...value].flatMap(([name, property]) => [shortString(name), encode(property)]);
  return Buffer.concat([Buffer.from([MARKER.object]), ...properties, Buffer.from([0, 0, MARKER.objectEnd])]);
}

function shortString(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length, 0);
  return Buffer.concat([length, bytes]);
}
