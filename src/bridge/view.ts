/** What the bridge shows of the SFU. Pure. */
import { ParticipantInfo_Kind, TrackSource } from '@livekit/protocol';
import type { types as ms } from 'mediasoup';
import type { z } from 'zod';
import type { SfuParticipant, SfuRoom, SfuTrack } from '../sfu/types.ts';
import type { bridgeCodecSchema, BridgeParticipant, BridgeTrack, BridgeTrackSource } from './protocol.ts';

type BridgeCodec = z.infer<typeof bridgeCodecSchema>;

const SOURCES: Readonly<Record<BridgeTrackSource, TrackSource>> = {
  unknown: TrackSource.UNKNOWN,
  camera: TrackSource.CAMERA,
  microphone: TrackSource.MICROPHONE,
  screen_share: TrackSource.SCREEN_SHARE,
  screen_share_audio: TrackSource.SCREEN_SHARE_AUDIO,
};
const SOURCE_NAMES = new Map(
  Object.entries(SOURCES).map(([name, source]) => [source, name as BridgeTrackSource]),
);

const KINDS: ReadonlyMap<ParticipantInfo_Kind, BridgeParticipant['kind']> = new Map([
  [ParticipantInfo_Kind.INGRESS, 'ingress'],
  [ParticipantInfo_Kind.EGRESS, 'egress'],
  [ParticipantInfo_Kind.SIP, 'sip'],
  [ParticipantInfo_Kind.AGENT, 'agent'],
]);

export function trackSource(name: BridgeTrackSource): TrackSource {
  return SOURCES[name];
}

/** The bridge's name of a source; one it has no name for is `unknown`. */
export function bridgeTrackSource(source: TrackSource): BridgeTrackSource {
  return SOURCE_NAMES.get(source) ?? 'unknown';
}

export function showTrack(track: SfuTrack): BridgeTrack {
  return {
    trackId: track.sid,
    producerId: track.producer.id,
    kind: track.kind,
    source: bridgeTrackSource(track.source),
    name: track.name,
    mimeType: track.mimeType,
    muted: track.muted,
    spatialLayers: track.spatialLayers,
  };
}

export function showParticipant(participant: SfuParticipant): BridgeParticipant {
  return {
    participantId: participant.sid,
    identity: participant.identity,
    name: participant.name,
    metadata: participant.metadata,
    kind: KINDS.get(participant.kind) ?? 'standard',
    joinedAt: participant.joinedAtMs,
    tracks: [...participant.tracks.values()].map(showTrack),
  };
}

/** Everybody visible but `self`. */
export function showParticipants(room: SfuRoom, self: SfuParticipant): BridgeParticipant[] {
  return [...room.participants.values()]
    .filter((participant) => participant !== self && !participant.permissions.hidden)
    .map(showParticipant);
}

/** A visible participant's track. */
export function findTrack(room: SfuRoom, trackId: string): SfuTrack | undefined {
  for (const { permissions, tracks } of room.participants.values()) {
    const track = tracks.get(trackId);
    if (track && !permissions.hidden) return track;
  }
  return undefined;
}

export function showCodec(codec: ms.RtpCodecParameters): BridgeCodec {
  const { mimeType, payloadType, clockRate, channels, parameters = {}, rtcpFeedback = [] } = codec;
  return {
    mimeType,
    payloadType,
    clockRate,
    ...(channels === undefined ? {} : { channels }),
    parameters: Object.fromEntries(
      Object.entries(parameters).filter(
        (entry): entry is [string, string | number] =>
          typeof entry[1] === 'string' || typeof entry[1] === 'number',
      ),
    ),
    rtcpFeedback: rtcpFeedback.map(({ type, parameter }) => (parameter ? { type, parameter } : { type })),
  };
}

/**
 * What a worker can receive: the producer's codec, lost packets again on the same SSRC (NACK, no RTX), keyframes on
 * PLI and FIR. No bandwidth estimation (a recorder wants everything), and no header extension means anything, video
 * orientation least of all: a recorder cannot turn a picture.
 */
export function workerCapabilities(track: SfuTrack): ms.RtpCapabilities {
  const rtcpFeedback: ms.RtcpFeedback[] = [{ type: 'nack' }];
  if (track.kind === 'video') {
    rtcpFeedback.push({ type: 'nack', parameter: 'pli' }, { type: 'ccm', parameter: 'fir' });
  }
  const codecs = track.producer.consumableRtpParameters.codecs.filter(
    ({ mimeType }) => !/\/rtx$/i.test(mimeType),
  );
  return {
    codecs: codecs.map(({ mimeType, payloadType, clockRate, channels, parameters = {} }) => ({
      kind: track.kind,
      mimeType,
      preferredPayloadType: payloadType,
      clockRate,
      ...(channels === undefined ? {} : { channels }),
      parameters,
      rtcpFeedback,
    })),
    headerExtensions: [],
  };
}
