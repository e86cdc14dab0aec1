/** Who may begin a WHIP session: the bearer of an access token, or of the stream key of an ingress. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { WhipIngressError } from '../ingress/whip/types.ts';
import type { IngressWhip, WhipPublisher } from '../ingress/whip/types.ts';
import { SignalingError } from './errors.ts';
import type { Entrance } from './resource.ts';
import type { SignalingOptions } from './types.ts';

export interface WhipPluginOptions extends SignalingOptions {
  /** Ingresses of input type WHIP; absent: only access tokens are taken. */
  ingress?: IngressWhip;
}

export interface WhipEntrance extends Entrance {
  /** For an ingress. */
  publisher?: WhipPublisher;
  /** Such a client may have no Authorization for its session's URL. */
  keyInPath?: boolean;
}

const keyParams = z.object({ key: z.string().min(1).max(256) });
/** An access token has three parts, a stream key has no dots. */
const STREAM_KEY = /^Bearer +([^\s.]+) *$/i;

/**
 * A stream key in the path goes before whatever the request carries as its Authorization.
 * @throws AuthError, WhipIngressError, SignalingError 401
 */
export async function enter(options: WhipPluginOptions, request: FastifyRequest): Promise<WhipEntrance> {
  const { ingress } = options;
  const path = keyParams.safeParse(request.params);
  if (ingress && path.success) {
    const publisher = await ingress.admit(path.data.key);
    return { grant: publisher.grant, publisher, keyInPath: true };
  }
  const [, bearer] = STREAM_KEY.exec(request.headers.authorization ?? '') ?? [];
  if (ingress && bearer !== undefined) {
    const publisher = await ingress.admit(bearer).catch((error: unknown) => {
      if (!(error instanceof WhipIngressError) || error.code !== 'not_found') throw error;
      throw new SignalingError(401, 'this is neither an access token nor the stream key of a WHIP ingress');
    });
    return { grant: publisher.grant, publisher };
  }
  return { grant: await options.authenticate(request) };
}
