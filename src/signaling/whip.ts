/** WHIP (RFC 9725): one session is one participant that publishes. */
import { randomBytes } from 'node:crypto';
import { TrackSource } from '@livekit/protocol';
import type { FastifyPluginAsync } from 'fastify';
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import type { SfuParticipant, SfuTrack } from '../sfu/types.ts';
import { SignalingError } from './errors.ts';
import { addResource } from './resource.ts';
import type { BegunSession } from './resource.ts';
import { writeAnswer } from './sdp/answer.ts';
import { SdpError } from './sdp/errors.ts';
import { planIngest } from './sdp/ingest.ts';
import type { IngestPlan, IngestTrack } from './sdp/ingest.ts';
import { parseOffer } from './sdp/offer.ts';
import { takeSeat, TokenHash } from './seats.ts';
import type { Seat } from './seats.ts';
import { Session } from './session.ts';
import { DEFAULT_TIMING } from './types.ts';
import type { SignalingGrant, SignalingOptions } from './types.ts';
import { enter } from './whip-entrance.ts';
import type { WhipEntrance, WhipPluginOptions } from './whip-entrance.ts';

/**
 * `POST /whip` and its sessions; the room is the token's or the ingress's, and is created if it is not there. With
 * ingresses also `POST /whip/<stream key>`.
 */
export const whipPlugin: FastifyPluginAsync<WhipPluginOptions> = async (app, options) => {
  addResource<WhipEntrance>(app, options, {
    path: '/whip',
    ...(options.ingress ? { alsoAt: ['/whip/:key'] } : {}),
    authenticate: (request) => enter(options, request),
    begin: (offer, entrance, request) => begin(options, offer, entrance, request.headers.authorization),
  });
};

async function begin(
  options: SignalingOptions,
  sdp: string,
  entrance: WhipEntrance,
  authorization: string | undefined,
): Promise<BegunSession> {
  const { grant, publisher, keyInPath } = entrance;
  const { permissions } = grant;
  if (!permissions.canPublish) throw new SignalingError(403, 'the token does not allow publishing');
  const offer = parseOffer(sdp);
  const place = await publisher?.begin();
  let transport: ms.WebRtcTransport | undefined;
  let seat: Seat | undefined = place;
  try {
    const room = place?.room ?? (await options.sfu.createRoom({ name: grant.roomName }));
    const plan = planIngest(offer, room.router.rtpCapabilities);
    dropForbidden(plan, grant);
    transport = await room.createWebRtcTransport();
    await transport.connect({ dtlsParameters: offer.transport.dtlsParameters });
    const producers = await produceAll(transport, plan.tracks);
    const token = new TokenHash(authorization);
    seat ??= takeSeat(room, grant, token, 'whip');
    const { participant } = seat;
    const logger = options.logger.child({
      roomId: room.sid,
      room: room.name,
      participantId: participant.sid,
      identity: participant.identity,
      protocol: 'whip',
    });
    const session = new Session({
      offer,
      mids: plan.tracks.map(({ section }) => section.mid),
      seat,
      transport,
      grant,
      token,
      urlOpens: keyInPath === true,
      watchClosely: place !== undefined,
      timing: { ...DEFAULT_TIMING, ...options.timing },
      logger,
      // Announced when media can flow: who subscribes earlier would wait for a session that may never connect.
      connected: () => {
        const tracks = publishAll(participant, producers, logger);
        if (tracks) place?.published(tracks);
        else session.close('removed');
      },
    });
    place?.attach(session);
    logger.info(
      {
        tracks: plan.tracks.map(describe),
        rejected: Object.fromEntries(plan.rejected),
      },
      'publishing session begun',
    );
    const answer = writeAnswer({
      offer,
      transport: {
        iceParameters: transport.iceParameters,
        iceCandidates: room.iceCandidates(transport),
        fingerprints: transport.dtlsParameters.fingerprints,
      },
      sections: plan.tracks.map(({ section, rtpParameters, answeredCodecs, rids }) => ({
        index: section.index,
        direction: 'recvonly',
        codecs: answeredCodecs,
        extensions: rtpParameters.headerExtensions ?? [],
        rids,
      })),
      sessionId: randomBytes(8).readBigUInt64BE() >> 2n,
      version: 1,
    });
    return { session, answer };
  } catch (error) {
    transport?.close();
    seat?.release('client_left');
    throw error;
  }
}

/** Tracks from sources the token does not name are answered as rejected. */
function dropForbidden(plan: IngestPlan, { permissions }: SignalingGrant): void {
  const allowed = permissions.canPublishSources;
  if (allowed.length === 0) return;
  for (const track of [...plan.tracks]) {
    if (allowed.includes(sourceOf(track))) continue;
    plan.tracks.splice(plan.tracks.indexOf(track), 1);
    plan.rejected.set(track.section.index, 'the token does not allow publishing from this source');
  }
  if (plan.tracks.length === 0) {
    throw new SignalingError(403, 'the token does not allow publishing from any source in the offer');
  }
}

interface Produced {
  track: IngestTrack;
  producer: ms.Producer;
}

async function produceAll(
  transport: ms.WebRtcTransport,
  tracks: readonly IngestTrack[],
): Promise<Produced[]> {
  const produced: Produced[] = [];
  for (const track of tracks) {
    try {
      const producer = await transport.produce({ kind: track.kind, rtpParameters: track.rtpParameters });
      produced.push({ track, producer });
    } catch (error) {
      if (transport.closed) throw error;
      // What mediasoup refuses is the offer's fault: two sections with one stream, parameters out of range.
      const why = error instanceof Error ? error.message : 'unknown reason';
      throw new SdpError('rtp', `section ${track.section.index + 1} cannot be received: ${why}`);
    }
  }
  return produced;
}

/** @returns undefined when the room does not take a track. */
function publishAll(
  participant: SfuParticipant,
  produced: readonly Produced[],
  logger: Logger,
): SfuTrack[] | undefined {
  try {
    return produced.map(({ track, producer }) => {
      const { msid } = track.section;
      return participant.publish(producer, {
        source: sourceOf(track),
        ...(msid === undefined ? {} : { stream: msid.stream }),
      });
    });
  } catch (err) {
    logger.warn({ err }, 'tracks could not be published');
    return undefined;
  }
}

function sourceOf({ kind, screen }: IngestTrack): TrackSource {
  if (kind === 'audio') return screen ? TrackSource.SCREEN_SHARE_AUDIO : TrackSource.MICROPHONE;
  return screen ? TrackSource.SCREEN_SHARE : TrackSource.CAMERA;
}

function describe({ section, rtpParameters }: IngestTrack): string {
  const layers = rtpParameters.encodings?.length ?? 1;
  return `${section.mid}: ${rtpParameters.codecs[0]?.mimeType ?? ''}${layers > 1 ? ` x${layers}` : ''}`;
}
