/** The client's half of a WHIP exchange (RFC 9725), all candidates in the offer. */
import { PublisherError } from './publisher-error.ts';

const DELETE_TIMEOUT_MS = 3000;

export interface WhipAnswer {
  sdp: string;
  /** Absolute URL of the session, to be deleted at the end. */
  resource: string;
}

/** @throws PublisherError when the server does not create the session */
export async function whipPost(
  url: string,
  token: string,
  offer: string,
  signal: AbortSignal,
): Promise<WhipAnswer> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/sdp' },
      body: offer,
      signal,
    });
  } catch (error) {
    throw new PublisherError(`the WHIP server does not answer: ${reason(error)}`, { cause: error });
  }
  const body = await response.text();
  if (response.status !== 201)
    throw new PublisherError(`the WHIP server answered ${response.status}: ${body.slice(0, 300)}`);
  const location = response.headers.get('location');
  if (!location) throw new PublisherError('the WHIP server answered 201 without a Location');
  return { sdp: body, resource: new URL(location, response.url).href };
}

/** Ends the session; one that is gone already is fine. @throws PublisherError */
export async function whipDelete(resource: string, token: string): Promise<void> {
  let response: Response;
  try {
    response = await fetch(resource, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(DELETE_TIMEOUT_MS),
    });
    await response.body?.cancel();
  } catch (error) {
    throw new PublisherError(`the WHIP session was not deleted: ${reason(error)}`, { cause: error });
  }
  if (!response.ok && response.status !== 404)
    throw new PublisherError(`the WHIP session was not deleted: ${response.status}`);
}

/** fetch hides what went wrong in the cause. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
