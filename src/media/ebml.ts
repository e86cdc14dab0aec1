/** EBML elements (RFC 8794), as far as a Matroska stream without an index needs them. */
import { byte } from './bytes.ts';
import { InspectError } from './errors.ts';

export interface EbmlElement {
  id: number;
  /** Offset of the element's first byte, of its content, and of what follows it. */
  from: number;
  content: number;
  /** Infinity when the size is unknown (a live cluster or segment). */
  to: number;
}

/**
 * Reads the element's header at `at`; undefined when the bytes end inside it.
 * @throws InspectError where no element can start
 */
export function readElement(data: Uint8Array, at: number): EbmlElement | undefined {
  const first = data[at];
  if (first === undefined) return undefined;
  const idLength = Math.clz32(first) - 23;
  if (idLength > 4) throw new InspectError(`no EBML element at byte ${at}`);
  if (at + idLength >= data.length) return undefined;
  let id = 0;
  for (let i = 0; i < idLength; i++) id = id * 256 + byte(data, at + i);

  const sizeAt = at + idLength;
  const sizeFirst = byte(data, sizeAt);
  const sizeLength = Math.clz32(sizeFirst) - 23;
  if (sizeLength > 8) throw new InspectError(`no EBML size at byte ${sizeAt}`);
  if (sizeAt + sizeLength > data.length) return undefined;
  let size = sizeFirst & ((1 << (8 - sizeLength)) - 1);
  let unknown = size === (1 << (8 - sizeLength)) - 1;
  for (let i = 1; i < sizeLength; i++) {
    const next = byte(data, sizeAt + i);
    if (next !== 0xff) unknown = false;
    size = size * 256 + next;
  }
  const content = sizeAt + sizeLength;
  return { id, from: at, content, to: unknown ? Infinity : content + size };
}

/** Elements directly inside `from..to`; stops at one that is cut short. Unknown sizes end the walk after that element. */
export function* children(data: Uint8Array, from: number, to: number): Generator<EbmlElement> {
  const end = Math.min(to, data.length);
  for (let at = from; at < end;) {
    const element = readElement(data, at);
    if (!element) return;
    yield element;
    at = element.to;
  }
}

/** Unsigned integer content (at most 6 bytes count, as safe integers do). */
export function readUint(data: Uint8Array, element: EbmlElement): number {
  let value = 0;
  for (let i = element.content; i < Math.min(element.to, element.content + 8, data.length); i++) {
    value = value * 256 + byte(data, i);
  }
  return value;
}

export function readFloat(data: Uint8Array, element: EbmlElement): number {
  const length = element.to - element.content;
  if (element.to > data.length) return NaN;
  const view = new DataView(data.buffer, data.byteOffset + element.content, length);
  if (length === 4) return view.getFloat32(0);
  return length === 8 ? view.getFloat64(0) : NaN;
}

export function readText(data: Uint8Array, element: EbmlElement): string {
  const end = Math.min(element.to, element.content + 256, data.length);
  return Buffer.from(data.subarray(element.content, end)).toString('latin1').replace(/\0+$/, '');
}
