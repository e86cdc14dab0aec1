/** What signalling needs of the server it is part of. */
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { ParticipantGrant } from '../auth/grants.ts';
import type { PendingSessions } from './pending.ts';
import type { Sfu } from '../sfu/types.ts';

/** Whom a request's access token lets in, and where. */
export type SignalingGrant = ParticipantGrant;

export interface IceServer {
  urls: string[];
  username?: string;
  credential?: string;
}

export interface SignalingOptions {
  sfu: Sfu;
  /** @throws AuthError */
  authenticate(request: FastifyRequest): Promise<SignalingGrant>;
  /** STUN and TURN servers for one client, in the order it should try them. */
  iceServers(client: { identity: string }): IceServer[];
  logger: Logger;
  timing?: Partial<SignalingTiming>;
  /** Shared by WHIP and WHEP; absent: any number may wait. */
  pending?: PendingSessions;
}

/** Milliseconds. */
export interface SignalingTiming {
  /** A session whose media connection is not up by then is removed. */
  connectTimeoutMs: number;
  /** A peer that nothing was heard of for this long is gone; an ICE restart has that long to bring it back. */
  lostTimeoutMs: number;
}

export const DEFAULT_TIMING: SignalingTiming = { connectTimeoutMs: 30_000, lostTimeoutMs: 15_000 };
