/** One POST of one event, in LiveKit's format. */
import { createHash } from 'node:crypto';
import { createAccessToken } from '../auth/token.ts';

/** LiveKit's: long enough for any delay on the way, too short to be worth stealing. */
const TOKEN_TTL_SECONDS = 300;

/** As much of an answer is read, so that the connection can be used again; beyond it is closed. */
const MAX_ANSWER_BYTES = 64 * 1024;

export type RequestResult =
  | { ok: true }
  /** `refused`: the destination understood and does not want this event (4xx). */
  | { ok: false; refused: boolean; gone: boolean; reason: string };

/**
 * Posts the body with its signature: `Authorization` is a bare JWT whose claim `sha256` is the body's hash. Never
 * throws; redirects are not followed.
 *
 * @param signal ends the request early.
 */
export async function postEvent(
  url: string,
  body: string,
  key: { name: string; secret: string },
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<RequestResult> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        'content-type': 'application/webhook+json',
        authorization: await createAccessToken({
          key: key.name,
          secret: key.secret,
          grants: {},
          ttl: TOKEN_TTL_SECONDS,
          sha256: createHash('sha256').update(body).digest('base64'),
        }),
      },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    await drain(response);
    return judge(response.status);
  } catch (error) {
    return { ok: false, refused: false, gone: false, reason: explain(error, timeoutMs) };
  }
}

function judge(status: number): RequestResult {
  if (status >= 200 && status < 300) return { ok: true };
  const retriable = status < 400 || status >= 500 || status === 408 || status === 425 || status === 429;
  return { ok: false, refused: !retriable, gone: status === 410, reason: `answered ${status}` };
}

async function drain(response: Response): Promise<void> {
  if (response.body === null) return;
  let bytes = 0;
  // Leaving the loop early cancels the body and with it the connection.
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) break;
  }
}

/** fetch hides what happened in the cause. Codes only: messages may quote the URL. */
function explain(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return 'failed';
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs / 1000} s`;
  if (error.name === 'AbortError') return 'interrupted';
  const { code } = (error.cause ?? error) as { code?: unknown };
  return typeof code === 'string' ? code : error.name;
}
