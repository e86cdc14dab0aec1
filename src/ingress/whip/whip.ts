/** WHIP ingresses: whom a stream key lets in, and the sessions that live on this server. */
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInput, ParticipantInfo_Kind } from '@livekit/protocol';
import type { IngressInfo } from '@livekit/protocol';
import type { ParticipantGrant } from '../../auth/grants.ts';
import type { IngressRecord } from '../../store/ingress-types.ts';
import type { WhipSessionParts } from './parts.ts';
import { refusal } from './reasons.ts';
import { WhipSession } from './session.ts';
import { WhipIngressError } from './types.ts';
import type { IngressWhip, WhipPlace } from './types.ts';

/** A server that dies without a word keeps its ingresses from publishing elsewhere for that long, ms. */
const DEFAULT_LEASE_MS = 10_000;
/** Redis that is away does not answer; a publisher should hear so, ms. */
const LOOKUP_MS = 5000;

export interface IngressWhipOptions extends Omit<WhipSessionParts, 'leaseMs'> {
  /** Default 10 000. */
  leaseMs?: number;
}

/** `close()` is the owner's to call, after the HTTP server has closed and before the SFU and Redis do. */
export function createIngressWhip(options: IngressWhipOptions): IngressWhip {
  const parts: WhipSessionParts = { leaseMs: DEFAULT_LEASE_MS, ...options };
  const sessions = new Map<string, WhipSession>();
  let closing = false;
  const isClosing = () => closing;

  const begin = async (record: IngressRecord, grant: ParticipantGrant): Promise<WhipPlace> => {
    const { ingressId } = record;
    const live = sessions.get(ingressId);
    if (live && !live.over) return live.take();
    await live?.ended;
    if (isClosing()) throw new WhipIngressError('unavailable', 'the server is shutting down');
    const session = await WhipSession.begin(parts, record, grant);
    sessions.set(ingressId, session);
    void session.ended.then(() => {
      if (sessions.get(ingressId) === session) sessions.delete(ingressId);
    });
    if (isClosing()) await session.end('', 'node_shutdown');
    return session.take();
  };

  return {
    admit: async (streamKey) => {
      const record = await lookUp(parts, streamKey);
      if (record?.info.inputType !== IngressInput.WHIP_INPUT) throw refusal('not_found');
      if (record.info.enabled === false) throw refusal('disabled');
      const grant = grantOf(record.info);
      return { grant, begin: () => begin(record, grant) };
    },
    close: async () => {
      closing = true;
      await Promise.all([...sessions.values()].map((session) => session.end('', 'node_shutdown')));
    },
  };
}

/** @throws WhipIngressError `unavailable` */
async function lookUp({ store }: WhipSessionParts, streamKey: string): Promise<IngressRecord | undefined> {
  const deadline = new AbortController();
  try {
    return await Promise.race([
      store.byStreamKey(streamKey),
      sleep(LOOKUP_MS, undefined, { signal: deadline.signal }).then(() => {
        throw new Error(`no answer within ${LOOKUP_MS} ms`);
      }),
    ]);
  } catch (cause) {
    throw new WhipIngressError('unavailable', 'ingresses cannot be looked up right now; try again', {
      cause,
    });
  } finally {
    deadline.abort();
  }
}

/** The participant an ingress publishes as. It only publishes. */
function grantOf(info: IngressInfo): ParticipantGrant {
  return {
    identity: info.participantIdentity || info.ingressId,
    name: info.participantName,
    metadata: info.participantMetadata,
    attributes: {},
    kind: ParticipantInfo_Kind.INGRESS,
    roomName: info.roomName,
    permissions: {
      canPublish: true,
      canSubscribe: false,
      canPublishData: false,
      canPublishSources: [],
      hidden: false,
      recorder: false,
    },
  };
}
