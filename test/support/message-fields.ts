/** Every field a message has, at any depth, set to something else: by protobuf's own description of the message. */
import { ScalarType } from '@bufbuild/protobuf';
import type { FieldInfo, Message, MessageType } from '@bufbuild/protobuf';

type AnyMessage = Message & Record<string, unknown>;
interface Oneof {
  case: string | undefined;
  value?: unknown;
}

/** One field, set to one value, and the same message without that. */
export interface Variant {
  /** `EncodingOptions.width`; of an enum's value `EncodingOptions.video_codec=VP8`. */
  name: string;
  /** As in the request: `advanced.width`. */
  path: string;
  /** The field alone, as messages spell it. */
  field: string;
  without: Message;
  with: Message;
}

export interface Samples {
  /** By type: the least of a message that is valid. Default: an empty one. */
  messages: Readonly<Record<string, object>>;
  /** By `Type.field`: a value that is valid, and not the default one. Strings have one of their own. */
  values: Readonly<Record<string, unknown>>;
  /** By `Type.field`: what the message beside it has to be for the field to count. */
  beside: Readonly<Record<string, object>>;
  /** By `Type.field`: what changes with it in the message beside it. */
  together: Readonly<Record<string, object>>;
}

const typeName = (type: MessageType): string => type.typeName.replace(/^.*\./, '');

const get = (message: AnyMessage, { oneof, localName }: FieldInfo): unknown => {
  if (!oneof) return message[localName];
  const chosen = message[oneof.localName] as Oneof;
  return chosen.case === localName ? chosen.value : undefined;
};

function set(message: AnyMessage, { oneof, localName }: FieldInfo, value: unknown): void {
  if (oneof) message[oneof.localName] = { case: localName, value };
  else message[localName] = value;
}

/** Values of a field that is no message, each with what it is called. */
function scalars(field: FieldInfo, name: string, now: unknown, samples: Samples): [string, unknown][] {
  if (Object.hasOwn(samples.values, name)) return [[name, samples.values[name]]];
  if (field.kind === 'enum') {
    const other = field.T.values.filter(({ no }) => no !== now);
    return other.map((value) => [`${name}=${value.name}`, value.no]);
  }
  if (field.kind === 'map') return [[name, { some: 'thing' }]];
  if (field.kind === 'scalar' && field.T === ScalarType.BOOL) return [[name, now !== true]];
  if (field.kind === 'scalar' && field.T === ScalarType.STRING) return [[name, `${field.name}-of-test`]];
  throw new Error(`${name} has no value in the samples`);
}

/**
 * @param root a valid message; it is not changed
 * @param find the message within a copy of the root whose fields are set
 */
function* within(
  root: Message,
  type: MessageType,
  find: (root: Message) => AnyMessage,
  path: string,
  samples: Samples,
): Generator<Variant> {
  for (const field of type.fields.list()) {
    const name = `${typeName(type)}.${field.name}`;
    const at = path === '' ? field.name : `${path}.${field.name}`;
    const without = root.clone();
    const beside = samples.beside[name];
    if (beside) Object.assign(find(without), beside);
    const changed = (value: unknown): Message => {
      const copy = without.clone();
      const before = get(find(copy), field);
      Object.assign(find(copy), samples.together[name]);
      set(find(copy), field, field.repeated ? [...(before as unknown[]), value] : value);
      return copy;
    };
    const variant = (called: string, value: unknown) => {
      return { name: called, path: at, field: field.name, without, with: changed(value) };
    };
    if (field.kind !== 'message') {
      for (const [called, value] of scalars(field, name, get(find(without), field), samples)) {
        yield variant(called, value);
      }
      continue;
    }
    const sample = new field.T(samples.messages[typeName(field.T)] ?? {});
    const there = get(find(without), field);
    const isThere = field.repeated ? (there as unknown[]).length > 0 : there !== undefined;
    if (!isThere) yield variant(name, sample);
    const inside = (copy: Message) => {
      const value = get(find(copy), field);
      return (field.repeated ? (value as unknown[])[0] : value) as AnyMessage;
    };
    yield* within(isThere ? without : changed(sample), field.T, inside, at, samples);
  }
}

/** All of them; each is a change of one field alone. */
export function* variants(root: Message, samples: Samples): Generator<Variant> {
  yield* within(root, root.getType(), (message) => message as AnyMessage, '', samples);
}
