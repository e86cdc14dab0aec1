/** WHEP (draft-ietf-wish-whep): one session is one participant that watches. */
import { randomBytes } from 'node:crypto';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import type { types as ms } from 'mediasoup';
import { z } from 'zod';
import { SignalingError } from './errors.ts';
import { addResource } from './resource.ts';
import type { BegunSession } from './resource.ts';
import { writeAnswer } from './sdp/answer.ts';
import type { AnsweredSection } from './sdp/answer.ts';
import { parseOffer } from './sdp/offer.ts';
import { answeredCodec, planPlayback, routerCodecs } from './sdp/playback.ts';
import type { PlaybackPlan } from './sdp/playback.ts';
import { takeSeat, TokenHash } from './seats.ts';
import type { Seat } from './seats.ts';
import { Session } from './session.ts';
import { SideRouters } from './side-routers.ts';
import { DEFAULT_TIMING } from './types.ts';
import type { SignalingGrant, SignalingOptions } from './types.ts';
import { Viewer } from './viewer.ts';
import type { ViewerSlot } from './viewer.ts';

const NAMED_LAYERS: Readonly<Record<string, (layers: number) => number>> = {
  low: () => 0,
  medium: (layers) => Math.floor((layers - 1) / 2),
  high: (layers) => layers - 1,
};

/**
 * Query of `POST /whep`: `participant` shows only that identity, `layer` prefers a simulcast layer (`low`,
 * `medium`, `high`, or its number from 0, the lowest).
 */
const querySchema = z.object({
  participant: z.string().min(1).max(512).optional(),
  layer: z
    .string()
    .regex(/^(low|medium|high|\d)$/)
    .transform((value) => NAMED_LAYERS[value] ?? ((layers: number) => Math.min(Number(value), layers - 1)))
    .optional(),
});

/** `POST /whep` and its sessions; the room is the token's, and is created if it is not there. */
export const whepPlugin: FastifyPluginAsync<SignalingOptions> = async (app, options) => {
  const sideRouters = new SideRouters();
  addResource(app, options, {
    path: '/whep',
    authenticate: async (request) => ({ grant: await options.authenticate(request) }),
    begin: (offer, { grant }, request) => begin(options, sideRouters, offer, grant, request),
  });
};

async function begin(
  options: SignalingOptions,
  sideRouters: SideRouters,
  sdp: string,
  grant: SignalingGrant,
  request: FastifyRequest,
): Promise<BegunSession> {
  if (!grant.permissions.canSubscribe) throw new SignalingError(403, 'the token does not allow subscribing');
  const query = querySchema.safeParse(request.query);
  if (!query.success) {
    const key = String(query.error.issues[0]?.path[0]);
    throw new SignalingError(
      400,
      key === 'layer'
        ? 'query "layer" must be low, medium, high or 0 to 9'
        : `query "${key}" must be given once, and not empty`,
    );
  }
  const offer = parseOffer(sdp);
  const room = await options.sfu.createRoom({ name: grant.roomName });
  const plan = planPlayback(offer, room.router.rtpCapabilities);

  const side = plan.routerNumbers ? undefined : await sideRouters.acquire(room, routerCodecs(plan));
  let transport: ms.WebRtcTransport | undefined;
  let seat: Seat | undefined;
  let viewer: Viewer | undefined;
  try {
    const router = side?.router ?? room.router;
    transport = await room.createWebRtcTransport(router);
    await transport.connect({ dtlsParameters: offer.transport.dtlsParameters });
    const token = new TokenHash(request.headers.authorization);
    seat = takeSeat(room, grant, token, 'whep');
    const { participant } = seat;
    const logger = options.logger.child({
      roomId: room.sid,
      room: room.name,
      participantId: participant.sid,
      identity: participant.identity,
      protocol: 'whep',
    });
    const showing = new Viewer({
      room,
      viewer: participant,
      transport,
      router,
      source: async (producer) => (side ? side.pipe(producer) : producer.id),
      plan,
      identity: query.data.participant,
      layer: query.data.layer,
      logger,
    });
    viewer = showing;
    const session = new Session({
      offer,
      mids: plan.slots.map(({ section }) => section.mid),
      seat,
      transport,
      grant,
      token,
      timing: { ...DEFAULT_TIMING, ...options.timing },
      logger,
      connected: () => void showing.goLive(),
      closed: () => {
        showing.close();
        side?.release();
      },
    });
    await showing.refresh();
    showing.answered();
    logger.info(
      {
        slots: plan.slots.length,
        demux: plan.demux,
        ownRouter: side !== undefined,
        rejected: Object.fromEntries(plan.rejected),
      },
      'watching session begun',
    );
    const answer = writeAnswer({
      offer,
      transport: {
        iceParameters: transport.iceParameters,
        iceCandidates: room.iceCandidates(transport),
        fingerprints: transport.dtlsParameters.fingerprints,
      },
      sections: showing.slots.map((slot) => answeredSlot(slot, showing.slots, plan, router)),
      sessionId: randomBytes(8).readBigUInt64BE() >> 2n,
      version: 1,
    });
    return { session, answer };
  } catch (error) {
    viewer?.close();
    transport?.close();
    seat?.release('client_left');
    side?.release();
    throw error;
  }
}

function answeredSlot(
  slot: ViewerSlot,
  slots: readonly ViewerSlot[],
  plan: PlaybackPlan,
  router: ms.Router,
): AnsweredSection {
  const { section, track, consumer } = slot;
  const partner = slots.find(({ kind, rank }) => kind !== slot.kind && rank === slot.rank);
  // Players keep tracks of one stream in sync, so the slots of a pair are of one stream, also while one is free.
  const stream = slot.owner ?? partner?.owner ?? `slot-${slot.rank}`;
  const { demux } = plan;
  const source = demux === 'ssrc' && consumer ? sourceOf(consumer) : undefined;
  return {
    index: section.section.index,
    // Without a way to tell later streams apart, a slot that is free now stays so.
    direction: demux === 'ssrc' && !consumer ? 'inactive' : 'sendonly',
    codecs: plan.codecs[slot.kind].flatMap((codec) => answeredCodec(codec, section, router.rtpCapabilities)),
    extensions: section.extensions,
    msid: { stream, track: track?.sid ?? `${stream}-${slot.kind}` },
    ...(source ? { source } : {}),
  };
}

function sourceOf({ rtpParameters }: ms.Consumer): AnsweredSection['source'] {
  const encoding = rtpParameters.encodings?.[0];
  if (encoding?.ssrc === undefined) return undefined;
  return {
    ssrc: encoding.ssrc,
    ...(encoding.rtx ? { rtxSsrc: encoding.rtx.ssrc } : {}),
    cname: rtpParameters.rtcp?.cname ?? String(encoding.ssrc),
  };
}
