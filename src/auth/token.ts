/** Makes LiveKit access tokens: for the CLI, for workers joining over the bridge, and for tests. */
import { SignJWT } from 'jose';
import { ParticipantInfo_Kind } from '@livekit/protocol';

/** What a token may grant; the names are LiveKit's. */
export interface TokenGrants {
  roomCreate?: boolean;
  roomList?: boolean;
  roomRecord?: boolean;
  roomAdmin?: boolean;
  roomJoin?: boolean;
  room?: string;
  ingressAdmin?: boolean;
  canPublish?: boolean;
  canSubscribe?: boolean;
  canPublishData?: boolean;
  /** Lower-case names, e.g. `camera`, `screen_share`. */
  canPublishSources?: string[];
  hidden?: boolean;
  recorder?: boolean;
}

/** A door that is opened by tokens of workers, and by no others; they open nothing else. */
export type WorkerDoor = 'bridge' | 'relay';

/** The token's `aud`. */
export const audienceOf = (door: WorkerDoor): string => `sluice-${door}`;

export interface TokenOptions {
  /** API key: the token's `iss`. */
  key: string;
  secret: string;
  /** The token's `sub`; service tokens have none. */
  identity?: string;
  grants: TokenGrants;
  /** Seconds the token is valid for (default 6 h). */
  ttl?: number;
  name?: string;
  metadata?: string;
  attributes?: Record<string, string>;
  kind?: ParticipantInfo_Kind;
  /** base64(SHA-256(body)), for webhooks. */
  sha256?: string;
  /** A worker's token for one job: opens this door and nothing else. */
  job?: { door: WorkerDoor; id: string; attempt: number };
}

export const DEFAULT_TTL_SECONDS = 6 * 60 * 60;

/**
 * @throws RangeError when key or secret is empty, when `ttl` is not positive, or when a token that joins a
 * room lacks room or identity.
 */
export async function createAccessToken(options: TokenOptions): Promise<string> {
  const { key, secret, identity, grants, ttl = DEFAULT_TTL_SECONDS } = options;
  if (!key || !secret) throw new RangeError('an access token needs an API key and its secret');
  if (!(ttl > 0)) throw new RangeError(`a token's ttl must be a positive number of seconds, not ${ttl}`);
  if (grants.roomJoin && (!grants.room || !identity)) {
    throw new RangeError('a token that joins a room needs a room and an identity');
  }
  const now = Math.floor(Date.now() / 1000);
  const token = new SignJWT({
    video: { ...grants },
    ...(options.name ? { name: options.name } : {}),
    ...(options.metadata ? { metadata: options.metadata } : {}),
    ...(options.attributes ? { attributes: options.attributes } : {}),
    ...(options.kind === undefined ? {} : { kind: ParticipantInfo_Kind[options.kind].toLowerCase() }),
    ...(options.sha256 ? { sha256: options.sha256 } : {}),
    ...(options.job ? { job: { id: options.job.id, attempt: options.job.attempt } } : {}),
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(key)
    .setIssuedAt(now)
    .setNotBefore(now)
    .setExpirationTime(now + Math.ceil(ttl));
  if (identity) token.setSubject(identity);
  if (options.job) token.setAudience(audienceOf(options.job.door));
  return token.sign(new TextEncoder().encode(secret));
}
