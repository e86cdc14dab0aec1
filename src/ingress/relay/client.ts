/** The worker's half of the relay: a publisher somewhere on a server, as an input. */
import { request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Logger } from 'pino';
import { inspect } from '../inputs/inspect/index.ts';
import type { Inspected } from '../inputs/inspect/index.ts';
import { InputError } from '../inputs/types.ts';
import type { Input, InputConnection, InputEnd } from '../inputs/types.ts';
import { END_TRAILER } from './plugin.ts';

/** ms for the server's answer. */
const ANSWER_MS = 10_000;
/** ms for enough media to know what it is: a publisher may just be gone, and waited for. */
const MEDIA_MS = 30_000;
const MAX_BYTES = 32 * 1024 * 1024;
/** Refused for what no repetition changes. */
const FINAL: ReadonlySet<number> = new Set([400, 401, 403, 404, 410]);

export interface RelayInputOptions {
  /** Of the session's source. */
  url: string;
  /** An access token with the grant `ingressAdmin`; asked for with each connection. */
  token: () => Promise<string>;
  logger: Logger;
}

/**
 * Ends `complete` when the publishing session is over for good; `lost` when it goes on in another connection: codecs
 * have changed, another worker reads, the server or the network failed.
 */
export function relayInput({ url, token, logger }: RelayInputOptions): Input {
  return {
    connect: async (signal) => {
      signal.throwIfAborted();
      const response = await open(url, await token(), signal);
      const options = { signal, timeoutMs: MEDIA_MS, maxBytes: MAX_BYTES };
      const end = Promise.withResolvers<InputEnd>();
      const settle = (value: InputEnd): void => end.resolve(value);
      response.once('end', () => settle(toEnd(response)));
      response.once('error', (error) =>
        settle({ type: 'lost', reason: `connection lost: ${error.message}` }),
      );
      response.once('close', () =>
        settle({ type: 'lost', reason: 'the connection to the relay was closed' }),
      );
      const inspected = await inspect(response, 'flv', options);
      logger.debug({ description: inspected.description }, 'reading from the relay');
      return connection(inspected, end.promise);
    },
  };
}

function connection({ description, data, measures }: Inspected, ended: Promise<InputEnd>): InputConnection {
  // What ends it badly is told by `ended`; readers see that it is closed.
  data.on('error', () => undefined);
  return {
    ...{ container: 'flv', pacing: 'arrival', ...description, data, measures, ended },
    close: async () => {
      data.destroy();
      await ended;
    },
  };
}

function toEnd(response: IncomingMessage): InputEnd {
  const why = response.trailers[END_TRAILER];
  if (why === 'complete') return { type: 'complete' };
  const restart = 'the publisher has changed its codecs or their settings';
  return { type: 'lost', reason: why === 'restart' ? restart : 'the relay ended the connection' };
}

/** @throws InputError; the signal's reason */
async function open(url: string, token: string, signal: AbortSignal): Promise<IncomingMessage> {
  const send = url.startsWith('https:') ? httpsRequest : httpRequest;
  const headers = { authorization: `Bearer ${token}` };
  const request = send(url, { headers, agent: false });
  const abort = (): unknown => request.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  const timer = setTimeout(() => request.destroy(new Error('no answer in time')), ANSWER_MS);
  try {
    const response = await answer(request);
    const { statusCode = 0 } = response;
    if (statusCode === 200) return response;
    response.destroy();
    const over = statusCode === 404 ? 'the publishing session is over' : `the relay answered ${statusCode}`;
    throw new InputError(over, { retry: !FINAL.has(statusCode) });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof InputError) throw error;
    const why = error instanceof Error ? error.message : 'unknown reason';
    throw new InputError(`the relay cannot be reached: ${why}`, { retry: true, cause: error });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

async function answer(request: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.once('response', resolve);
  // Later errors are the response's.
  request.on('error', reject);
  request.end();
  return promise;
}
