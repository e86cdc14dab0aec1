/** WHEP: what of an offer can be played into. Every section that receives is a slot for one track of its kind. */
import type { types as ms } from 'mediasoup';
import { codecParameters, matchCodecs } from './codecs.ts';
import type { MatchedCodec } from './codecs.ts';
import { SdpError } from './errors.ts';
import { bandwidthFeedback, MID, sentExtensions } from './extensions.ts';
import type { Offer, OfferedSection } from './offer.ts';

/**
 * How the viewer tells which slot a packet is for.
 * - `mid`: the MID header extension, under the id mediasoup writes. A slot takes one track after the other.
 * - `payload-type`: one slot a kind, so the payload type says it (RFC 8843 §9.2). Takes one after the other, too.
 * - `ssrc`: the answer names the SSRCs, so only the tracks that are there when it is written can be played.
 */
export type Demux = 'mid' | 'payload-type' | 'ssrc';

export interface PlaybackSlot {
  section: OfferedSection;
  kind: ms.MediaKind;
  extensions: ms.RtpHeaderExtensionParameters[];
}

export interface PlaybackPlan {
  slots: PlaybackSlot[];
  /** By index of the section: why the answer disables it. */
  rejected: Map<number, string>;
  demux: Demux;
  /** What the viewer can play, by kind, under its payload types. */
  codecs: Record<ms.MediaKind, MatchedCodec[]>;
  /** Whether those are the router's payload types. If not, a router with the viewer's is needed. */
  routerNumbers: boolean;
}

/** Slots one session may have. */
export const MAX_SLOTS = 64;
/** mediasoup writes no longer MID into a header extension. */
const MAX_MID_BYTES = 8;

/** @throws SdpError when nothing of the offer can be played into. */
export function planPlayback(offer: Offer, capabilities: ms.RtpCapabilities): PlaybackPlan {
  const slots: PlaybackSlot[] = [];
  const rejected = new Map<number, string>();
  const codecs: PlaybackPlan['codecs'] = { audio: [], video: [] };
  for (const section of offer.sections) {
    const kind = section.kind === 'audio' ? 'audio' : 'video';
    const matched = section.obstacle === undefined ? matchCodecs(section, capabilities) : [];
    const why = whyNot(section, matched, codecs[kind], slots.length);
    if (why !== undefined) {
      rejected.set(section.index, why);
      continue;
    }
    if (codecs[kind].length === 0) codecs[kind] = onePerCapability(matched);
    slots.push({ section, kind, extensions: sentExtensions(section, capabilities) });
  }
  if (slots.length === 0) {
    const reasons = [...rejected].map(([index, reason]) => `section ${index + 1}: ${reason}`);
    throw new SdpError('media', `nothing can be played into the offer. ${reasons.join('; ')}`);
  }
  const all = [...codecs.audio, ...codecs.video];
  return {
    slots,
    rejected,
    demux: demuxOf(slots),
    codecs,
    routerNumbers: all.every(
      ({ offered, capability }) => offered.payloadType === capability.preferredPayloadType,
    ),
  };
}

function whyNot(
  section: OfferedSection,
  matched: readonly MatchedCodec[],
  agreed: readonly MatchedCodec[],
  taken: number,
): string | undefined {
  if (section.obstacle !== undefined) return section.obstacle;
  if (section.direction !== 'recvonly' && section.direction !== 'sendrecv') {
    return `it is ${section.direction}: a viewer's section must be recvonly`;
  }
  if (matched.length === 0) return 'none of its codecs is supported';
  const offers = (codec: MatchedCodec) =>
    matched.some(
      ({ offered, capability }) =>
        offered.payloadType === codec.offered.payloadType && capability === codec.capability,
    );
  if (!agreed.every(offers)) return 'its codecs or payload types differ from an earlier section of its kind';
  return taken >= MAX_SLOTS ? `a session may have at most ${MAX_SLOTS} sections` : undefined;
}

/** An offer may have several payload types for what is one codec of the router: the first one counts. */
function onePerCapability(matched: readonly MatchedCodec[]): MatchedCodec[] {
  return matched.filter(
    ({ capability }, index) => matched.findIndex((codec) => codec.capability === capability) === index,
  );
}

function demuxOf(slots: readonly PlaybackSlot[]): Demux {
  const byMid = slots.every(
    ({ section, extensions }) =>
      Buffer.byteLength(section.mid) <= MAX_MID_BYTES && extensions.some(({ uri }) => uri === MID),
  );
  if (byMid) return 'mid';
  const count = (kind: ms.MediaKind) => slots.filter((slot) => slot.kind === kind).length;
  return count('audio') <= 1 && count('video') <= 1 ? 'payload-type' : 'ssrc';
}

/**
 * Capabilities for `transport.consume()` of a track in one of the viewer's codecs: exactly that codec, and RTX
 * where the router's payload type for it is the viewer's. Without, mediasoup retransmits on the media's SSRC.
 * @param router of the router that is consumed from: it has the viewer's payload types
 * @returns undefined when that router lacks the codec
 */
export function consumeCapabilities(
  codec: MatchedCodec,
  slot: PlaybackSlot,
  router: ms.RtpCapabilities,
): ms.RtpCapabilities | undefined {
  const { payloadType } = codec.offered;
  const isMedia = ({ mimeType }: ms.RouterRtpCodecCapability) => mimeType === codec.capability.mimeType;
  const media = router.codecs?.find((entry) => isMedia(entry) && entry.preferredPayloadType === payloadType);
  if (!media) return undefined;
  const rtx = router.codecs?.find(
    ({ mimeType, parameters, preferredPayloadType }) =>
      mimeType.endsWith('/rtx') &&
      parameters?.apt === payloadType &&
      preferredPayloadType === codec.rtxPayloadType,
  );
  return {
    codecs: [
      {
        ...media,
        preferredPayloadType: payloadType,
        rtcpFeedback: bandwidthFeedback(codec.feedback, slot.extensions),
      },
      ...(rtx && codec.rtxPayloadType !== undefined
        ? [{ ...rtx, preferredPayloadType: codec.rtxPayloadType }]
        : []),
    ],
    headerExtensions: slot.extensions.map(({ uri, id }) => ({ kind: slot.kind, uri, preferredId: id })),
  };
}

/** First free number first: what mediasoup gives RTX codecs, which it adds to each video codec by itself. */
const DYNAMIC_PAYLOAD_TYPES = [...Array.from({ length: 28 }, (_, index) => 100 + index), ...[96, 97, 98, 99]];

/**
 * Codecs for a router that has the viewer's payload types. mediasoup numbers RTX codecs by itself, and its
 * choice may be a number the viewer needs for a later codec; the order of the list decides. Codecs for which
 * no order is free of conflict are left out, the least preferred first.
 */
export function routerCodecs(plan: PlaybackPlan): ms.RouterRtpCodecCapability[] {
  const capability = ({ offered, capability }: MatchedCodec): ms.RouterRtpCodecCapability => ({
    kind: capability.kind,
    mimeType: capability.mimeType,
    clockRate: capability.clockRate,
    ...(capability.channels === undefined ? {} : { channels: capability.channels }),
    parameters: { ...capability.parameters },
    preferredPayloadType: offered.payloadType,
  });
  const audio = plan.codecs.audio.map(capability);
  const free = DYNAMIC_PAYLOAD_TYPES.filter(
    (number) => !audio.some(({ preferredPayloadType }) => preferredPayloadType === number),
  );
  for (let count = plan.codecs.video.length; count > 0; count -= 1) {
    const video = orderOf(plan.codecs.video.slice(0, count).map(capability), free);
    if (video) return [...audio, ...video];
  }
  return audio;
}

function orderOf(
  codecs: readonly ms.RouterRtpCodecCapability[],
  free: readonly number[],
): ms.RouterRtpCodecCapability[] | undefined {
  if (codecs.length === 0) return [];
  for (const codec of codecs) {
    const [rtx, ...others] = free.filter((number) => number !== codec.preferredPayloadType);
    const rest = codecs.filter((other) => other !== codec);
    if (rtx === undefined || rest.some((other) => other.preferredPayloadType === rtx)) continue;
    const order = orderOf(rest, others);
    if (order) return [codec, ...order];
  }
  return undefined;
}

/** The codecs as the answer lists them: the viewer's numbers, no RTX that might not come. */
export function answeredCodec(
  codec: MatchedCodec,
  slot: PlaybackSlot,
  router: ms.RtpCapabilities,
): ms.RtpCodecParameters[] {
  const capabilities = consumeCapabilities(codec, slot, router);
  return (capabilities?.codecs ?? []).map((entry) => ({
    mimeType: entry.mimeType,
    payloadType: entry.preferredPayloadType,
    clockRate: entry.clockRate,
    ...(entry.channels === undefined ? {} : { channels: entry.channels }),
    parameters: entry.mimeType.endsWith('/rtx')
      ? { apt: codec.offered.payloadType }
      : codecParameters(codec.offered),
    rtcpFeedback: entry.rtcpFeedback ?? [],
  }));
}
