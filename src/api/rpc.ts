/** Typed descriptions of Twirp services. */
import type { Message, MessageType } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { Claims } from '../auth/claims.ts';

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

export interface RpcService {
  /** Without package, e.g. `Egress`. */
  name: string;
  methods: Readonly<Record<string, RpcMethod>>;
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
