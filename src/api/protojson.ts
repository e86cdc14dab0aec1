/** LiveKit's messages as JSON. */
import type { JsonObject, JsonValue, Message, MessageType } from '@bufbuild/protobuf';
import { TwirpError } from './errors.ts';

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
