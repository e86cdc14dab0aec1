/** How an IngressRecord is laid out in its Redis hash. */
import { IngressInfo, IngressState, IngressState_Status } from '@livekit/protocol';
import { z } from 'zod';
import { StoreError } from './errors.ts';
import type { IngressRecord, IngressSession } from './ingress-types.ts';

const sourceSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('relay'), url: z.string() }),
  z.object({ type: z.literal('url') }),
  z.object({ type: z.literal('room'), roomName: z.string(), identity: z.string() }),
  z.object({ type: z.literal('direct') }),
]);

const sessionSchema = z.object({
  resourceId: z.string(),
  source: sourceSchema,
  bridgeUrl: z.string(),
  startedAtMs: z.number(),
});

/** The hash's fields; Redis holds text. */
const hashSchema = z.object({
  /** Without its state, which others write. */
  info: z.string(),
  state: z.string(),
  streamKey: z.string(),
  sourceUrl: z.string(),
  createdAtMs: z.coerce.number(),
  revision: z.coerce.number().int(),
  /** These two, and `resourceId` for the scripts, are there while a session is live. */
  session: z.string().optional(),
  attempt: z.coerce.number().int().optional(),
});

/** A record, and the texts it was made of, which the scripts compare. */
export interface StoredIngress {
  record: IngressRecord;
  infoJson: string;
  stateJson: string;
}

/** @throws StoreError `data_loss` when the hash is not a record. */
export function decodeIngress(ingressId: string, hash: Record<string, string>): StoredIngress {
  try {
    const { info, state, session, attempt, ...rest } = hashSchema.parse(hash);
    const live: IngressSession | undefined =
      session === undefined || attempt === undefined
        ? undefined
        : { ...sessionSchema.parse(JSON.parse(session)), attempt };
    return {
      record: { ingressId, ...rest, info: joinIngressInfo(info, state), session: live },
      infoJson: info,
      stateJson: state,
    };
  } catch (error) {
    throw new StoreError('data_loss', `the stored record of ${ingressId} cannot be read`, { cause: error });
  }
}

export function encodeSession({
  resourceId,
  source,
  bridgeUrl,
  startedAtMs,
}: Omit<IngressSession, 'attempt'>): string {
  return JSON.stringify({ resourceId, source, bridgeUrl, startedAtMs });
}

/** The two halves an IngressInfo is kept in. */
export function splitIngressInfo(info: IngressInfo): { infoJson: string; stateJson: string } {
  const { state } = info;
  const rest = info.clone();
  delete rest.state;
  return { infoJson: rest.toJsonString(), stateJson: (state ?? new IngressState()).toJsonString() };
}

export function joinIngressInfo(infoJson: string, stateJson: string): IngressInfo {
  const info = IngressInfo.fromJsonString(infoJson, { ignoreUnknownFields: true });
  info.state = IngressState.fromJsonString(stateJson, { ignoreUnknownFields: true });
  return info;
}

const nanoseconds = (ms: number) => BigInt(Math.round(ms)) * 1_000_000n;

/** The state a session starts in. */
export function firstState(session: Omit<IngressSession, 'attempt'>, nowMs: number): IngressState {
  return new IngressState({
    status: IngressState_Status.ENDPOINT_BUFFERING,
    resourceId: session.resourceId,
    startedAt: nanoseconds(session.startedAtMs),
    updatedAt: nanoseconds(nowMs),
  });
}

/** The state of a session that is ended from outside. @param error why, unless it was meant */
export function lastState(state: IngressState | undefined, nowMs: number, error = ''): IngressState {
  const last = state?.clone() ?? new IngressState();
  last.status = IngressState_Status.ENDPOINT_INACTIVE;
  last.error = error;
  last.tracks = [];
  last.endedAt = nanoseconds(nowMs);
  last.updatedAt = nanoseconds(nowMs);
  return last;
}

/** As LiveKit: the error of a session that is over is taken back by a change, which may have mended it. */
export function mendedState({ info: { state }, session }: IngressRecord): IngressState {
  if (state === undefined) return new IngressState();
  if (session !== undefined || state.status !== IngressState_Status.ENDPOINT_ERROR) return state;
  const mended = state.clone();
  mended.status = IngressState_Status.ENDPOINT_INACTIVE;
  return mended;
}
