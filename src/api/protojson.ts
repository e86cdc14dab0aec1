/** LiveKit's messages as JSON. */
import type { JsonObject, JsonValue, Message, MessageType } from '@bufbuild/protobuf';
import { z } from 'zod';
import { TwirpError } from './errors.ts';

/** A field of a request that holds a message; {@link messageFromJson} decodes it. */
export const messageJson = z.custom<JsonValue>(
  (value) => typeof value === 'object' && value !== null,
  'it must be an object',
);

/**
 * Which of these fields is there, and what it holds.
 * @param field what they are together, for messages
 * @throws TwirpError `invalid_argument` unless it is one
 */
export function exactlyOne<Name extends string>(
  body: Readonly<Partial<Record<Name, JsonValue | undefined>>>,
  names: readonly Name[],
  field: string,
): { name: Name; json: JsonValue } {
  const there = names.flatMap((name) => {
    const json = body[name];
    return json === undefined ? [] : [{ name, json }];
  });
  const [one] = there;
  if (one && there.length === 1) return one;
  throw new TwirpError(
    'invalid_argument',
    `request has missing or invalid field: ${field}: give exactly one of ${names.join(', ')}`,
  );
}

/** The decoder's complaint without the value it complains of, which may be a secret. */
export function complaint(error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  const what = /cannot decode (?:field|enum|message) [\w.]+|cannot decode map \w+/.exec(message)?.[0];
  if (what !== undefined) return `: ${what.replace('livekit.', '')}`;
  return error instanceof SyntaxError ? ': it is not JSON' : '';
}

/** @throws TwirpError `malformed` that names the field, not its value */
export function messageFromJson<T extends Message<T>>(type: MessageType<T>, json: JsonValue): T {
  try {
    return type.fromJson(json, { ignoreUnknownFields: true });
  } catch (error) {
    throw new TwirpError('malformed', `the request could not be decoded${complaint(error)}`, {
      cause: error,
    });
  }
}

/** As answers are written: snake_case, with defaults. */
export function messageToJson(message: Message): JsonObject {
  return message.toJson({ useProtoFieldName: true, emitDefaultValues: true }) as JsonObject;
}
