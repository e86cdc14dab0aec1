/** Typed descriptions of Twirp services. */
import type { JsonObject, Message, MessageType } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { Claims } from '../auth/claims.ts';
import { issueText } from '../egress/request/issues.ts';
import { TwirpError } from './errors.ts';

export interface RpcContext {
  /** Of a verified token: every call has one. */
  claims: Claims;
  /** With the call's service, method and request id. */
  logger: Logger;
}

/** One method; `call` takes and gives decoded messages. */
export interface RpcMethod {
  input: MessageType;
  /** @throws TwirpError, or any error {@link toTwirpError} knows. */
  call(request: Message, context: RpcContext): Promise<Message>;
}

/** A method of our own, in JSON alone: what LiveKit's messages have no words for. */
export interface JsonMethod {
  /** @throws TwirpError `invalid_argument` when the body is not what the method takes */
  callJson(body: unknown, context: RpcContext): Promise<JsonObject>;
}

export interface RpcService {
  /** Default: LiveKit's. */
  package?: 'livekit' | 'sluice';
  /** Without package, e.g. `Egress`. */
  name: string;
  methods: Readonly<Record<string, RpcMethod | JsonMethod>>;
}

/** Ties a handler to the message types it speaks. */
export function rpc<I extends Message<I>, O extends Message<O>>(
  input: MessageType<I>,
  handler: (request: I, context: RpcContext) => Promise<O> | O,
): RpcMethod {
  return {
    input,
    async call(request, context) {
      if (!(request instanceof input)) throw new TypeError(`expected a ${input.typeName}`);
      return handler(request, context);
    },
  };
}

/** `egressId` as `egress_id`: both spellings are taken, as of LiveKit's messages. */
function inSnakeCase(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  return Object.fromEntries(
    Object.entries(body).map(([name, value]: [string, unknown]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );
}

/** What is wrong with a body, by the field's name; never its value, which may be a secret. */
function complaint({ issues }: z.ZodError): string {
  return issues
    .slice(0, 5)
    .map((issue) => {
      const field = issue.path.join('.');
      if (issue.code === 'unrecognized_keys') {
        const names = issue.keys.map((key) => [...issue.path, key].join('.').slice(0, 64));
        return `${names.join(', ')}: there is no such field`;
      }
      return `${field === '' ? 'the request' : field}: ${issueText(issue)}`;
    })
    .join('; ');
}

/** Ties a handler to the schema of its JSON. Fields at the top may be in camelCase or snake_case; the schema has the latter. */
export function jsonRpc<S extends z.ZodType>(
  schema: S,
  handler: (request: z.output<S>, context: RpcContext) => Promise<JsonObject> | JsonObject,
): JsonMethod {
  return {
    async callJson(body, context) {
      const parsed = schema.safeParse(inSnakeCase(body));
      if (!parsed.success) {
        throw new TwirpError(
          'invalid_argument',
          `request has missing or invalid field: ${complaint(parsed.error)}`,
        );
      }
      return handler(parsed.data, context);
    },
  };
}
