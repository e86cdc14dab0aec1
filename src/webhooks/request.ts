/** One POST of one event, in LiveKit's format. */
import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { Agent, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createAccessToken } from '../auth/token.ts';
import { GuardError } from '../outbound/index.ts';

/** LiveKit's: long enough for any delay on the way, too short to be worth stealing. */
const TOKEN_TTL_SECONDS = 300;

/** As much of an answer is read, so that the connection can be used again; beyond it is closed. */
const MAX_ANSWER_BYTES = 64 * 1024;

export type RequestResult =
  | { ok: true }
  /** `refused`: the destination understood and does not want this event (4xx), or may not be reached. */
  | { ok: false; refused: boolean; gone: boolean; reason: string };

export interface PostOptions {
  timeoutMs: number;
  /** Ends the request early. */
  signal: AbortSignal;
  /** What connects; the caller's. */
  agents: { http: Agent; https: Agent };
}

/**
 * Posts the body with its signature: `Authorization` is a bare JWT whose claim `sha256` is the body's hash. Never
 * throws; redirects are not followed.
 */
export async function postEvent(
  url: string,
  body: string,
  key: { name: string; secret: string },
  options: PostOptions,
): Promise<RequestResult> {
  try {
    const authorization = await createAccessToken({
      key: key.name,
      secret: key.secret,
      grants: {},
      ttl: TOKEN_TTL_SECONDS,
      sha256: createHash('sha256').update(body).digest('base64'),
    });
    return judge(await post(new URL(url), body, authorization, options));
  } catch (error) {
    return explain(error, options.timeoutMs);
  }
}

/** @returns the answer's status, once its body has come */
async function post(
  url: URL,
  body: string,
  authorization: string,
  { agents, signal, timeoutMs }: PostOptions,
): Promise<number> {
  const secure = url.protocol === 'https:';
  const headers = {
    'content-type': 'application/webhook+json',
    'content-length': Buffer.byteLength(body),
    authorization,
  };
  const options = {
    method: 'POST',
    headers,
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    agent: secure ? agents.https : agents.http,
  };
  const request = secure ? httpsRequest(url, options) : httpRequest(url, options);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    // Also what comes after the answer has begun: nobody else listens then.
    request.on('error', reject);
    request.end(body);
  });
  let bytes = 0;
  // Leaving the loop early closes the connection.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) break;
  }
  return response.statusCode ?? 0;
}

function judge(status: number): RequestResult {
  if (status >= 200 && status < 300) return { ok: true };
  const retriable = status < 400 || status >= 500 || status === 408 || status === 425 || status === 429;
  return { ok: false, refused: !retriable, gone: status === 410, reason: `answered ${status}` };
}

/** Codes, and the guard's own words, which name a host: other messages may quote the URL. */
function explain(error: unknown, timeoutMs: number): RequestResult {
  const failed = (reason: string, refused = false): RequestResult => ({
    ok: false,
    refused,
    gone: false,
    reason,
  });
  if (error instanceof GuardError) return failed(error.message, !error.retry);
  if (!(error instanceof Error)) return failed('failed');
  const { cause } = error;
  const name = cause instanceof Error ? cause.name : error.name;
  if (name === 'TimeoutError') return failed(`no answer within ${timeoutMs / 1000} s`);
  if (name === 'AbortError') return failed('interrupted');
  const { code } = error as { code?: unknown };
  return failed(typeof code === 'string' ? code : error.name);
}
