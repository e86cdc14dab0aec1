/** Checks LiveKit access tokens: HS256, signed with one of our API keys. */
import { decodeJwt, errors, jwtVerify } from 'jose';
import { z } from 'zod';
import { claimsSchema } from './claims.ts';
import type { Claims } from './claims.ts';
import { AuthError } from './errors.ts';
import { audienceOf } from './token.ts';
import type { WorkerDoor } from './token.ts';

/** Seconds a clock may be off, LiveKit's own. */
const LEEWAY_SECONDS = 60;
/** No real token comes near; longer ones are not worth decoding. */
const MAX_TOKEN_LENGTH = 64 * 1024;

const DOORS: readonly WorkerDoor[] = ['bridge', 'relay'];

const invalid = (why: string, cause?: unknown) =>
  new AuthError('unauthenticated', `invalid token: ${why}`, { cause });

/** Says what is wrong with a token without quoting it. */
function explain(error: unknown): AuthError {
  if (error instanceof errors.JWTExpired) return invalid('it has expired', error);
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'exp') return invalid('claim "exp" is required and must be a number', error);
    if (error.claim === 'nbf') return invalid('it is not valid yet', error);
    return invalid(`claim "${error.claim}" is not what it must be`, error);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return invalid('it must be signed with HS256', error);
  if (error instanceof errors.JWSSignatureVerificationFailed) return invalid('wrong signature', error);
  return invalid('it is not a signed JWT', error);
}

export class TokenVerifier {
  readonly #secrets: ReadonlyMap<string, Uint8Array>;

  /** @param keys API key to secret. */
  constructor(keys: Readonly<Record<string, string>>) {
    this.#secrets = new Map(
      Object.entries(keys).map(([key, secret]) => [key, new TextEncoder().encode(secret)]),
    );
  }

  /**
   * Service tokens need neither `sub` nor `iat`; `exp` is required, `nbf` obeyed. The signature is compared
   * in constant time.
   * @param door whose tokens are taken; undefined: everything that is not for workers
   * @throws AuthError `unauthenticated`; its message says what is wrong and never holds the token.
   */
  async verify(token: string, door?: WorkerDoor): Promise<Claims> {
    if (token.length > MAX_TOKEN_LENGTH) throw invalid('it is too long');
    let apiKey: string | undefined;
    try {
      apiKey = decodeJwt(token).iss;
    } catch (error) {
      throw explain(error);
    }
    const secret = apiKey === undefined ? undefined : this.#secrets.get(apiKey);
    if (apiKey === undefined || !secret) {
      throw new AuthError(
        'unauthenticated',
        'invalid API key: the token\'s "iss" is not a key of this server',
      );
    }
    try {
      const { payload } = await jwtVerify(token, secret, {
        algorithms: ['HS256'],
        issuer: apiKey,
        clockTolerance: LEEWAY_SECONDS,
        requiredClaims: ['exp'],
        ...(door ? { audience: audienceOf(door) } : {}),
      });
      if (!door && isForWorkers(payload.aud)) throw invalid("it is a worker's, and opens only its job");
      return claimsSchema.parse(payload);
    } catch (error) {
      if (error instanceof AuthError) throw error;
      if (error instanceof z.ZodError) {
        const [issue] = error.issues;
        throw invalid(`claim "${issue?.path.join('.')}": ${issue?.message}`, error);
      }
      throw explain(error);
    }
  }
}

/** Other audiences mean nothing to us, as they mean nothing to LiveKit. */
function isForWorkers(audience: string | string[] | undefined): boolean {
  return DOORS.some((door) => [audience ?? []].flat().includes(audienceOf(door)));
}

/**
 * The token of a request: header `Authorization: Bearer <token>`, or else the query parameter `access_token`.
 * @returns undefined when there is none.
 * @throws AuthError `unauthenticated` when the header is of another scheme.
 */
export function tokenFromRequest(
  authorization: string | undefined,
  query: URLSearchParams,
): string | undefined {
  if (authorization) {
    const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (token === undefined) {
      throw new AuthError(
        'unauthenticated',
        'invalid authorization header: it must be "Bearer " and an access token',
      );
    }
    return token;
  }
  const token = query.get('access_token');
  return token === '' ? undefined : (token ?? undefined);
}
