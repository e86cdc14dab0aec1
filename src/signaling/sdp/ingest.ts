/** WHIP: what of an offer is published, as parameters for `transport.produce()`. */
import type { types as ms } from 'mediasoup';
import { codecParameters, matchCodecs } from './codecs.ts';
import type { MatchedCodec } from './codecs.ts';
import { encodingsOf } from './encodings.ts';
import { SdpError } from './errors.ts';
import { bandwidthFeedback, receivedExtensions } from './extensions.ts';
import type { Offer, OfferedSection } from './offer.ts';

export interface IngestTrack {
  section: OfferedSection;
  kind: ms.MediaKind;
  /** One media codec and its RTX, under the publisher's payload types; encodings from low to high. */
  rtpParameters: ms.RtpParameters;
  /** Those codecs as the answer says them. */
  answeredCodecs: ms.RtpCodecParameters[];
  /** Offered rids the answer takes, in the offer's order. */
  rids: string[];
  /** Whether the offer says that this is a screen. */
  screen: boolean;
}

export interface IngestPlan {
  tracks: IngestTrack[];
  /** By index of the section: why the answer disables it. */
  rejected: Map<number, string>;
}

/** Tracks one session may publish. */
export const MAX_TRACKS = 16;

/**
 * kbit/s libwebrtc begins a video with; it takes this from the answer. By itself it begins with 300, and where
 * its first probes fail it needs a quarter of a minute to reach its full picture, which a recording shows.
 */
const START_BITRATE = 1000;

/** @throws SdpError when nothing of the offer can be published. */
export function planIngest(offer: Offer, capabilities: ms.RtpCapabilities): IngestPlan {
  const tracks: IngestTrack[] = [];
  const rejected = new Map<number, string>();
  for (const section of offer.sections) {
    const why = whyNot(section, tracks.length);
    const codec = why === undefined ? matchCodecs(section, capabilities)[0] : undefined;
    if (codec) tracks.push(ingestTrack(section, codec, capabilities));
    else rejected.set(section.index, why ?? noCodec(section, capabilities));
  }
  if (tracks.length === 0) {
    const reasons = [...rejected].map(([index, reason]) => `section ${index + 1}: ${reason}`);
    throw new SdpError('media', `nothing in the offer can be published. ${reasons.join('; ')}`);
  }
  checkDistinct(tracks);
  return { tracks, rejected };
}

function whyNot(section: OfferedSection, taken: number): string | undefined {
  if (section.obstacle !== undefined) return section.obstacle;
  if (section.direction !== 'sendonly' && section.direction !== 'sendrecv') {
    return `it is ${section.direction}: a publisher's section must be sendonly`;
  }
  return taken >= MAX_TRACKS ? `a session may publish at most ${MAX_TRACKS} tracks` : undefined;
}

function noCodec(section: OfferedSection, capabilities: ms.RtpCapabilities): string {
  const ours = (capabilities.codecs ?? []).filter(({ mimeType }) => mimeType.startsWith(`${section.kind}/`));
  const names = new Set(ours.map(({ mimeType }) => mimeType.split('/')[1] ?? mimeType));
  for (const helper of ['rtx', 'CN', 'telephone-event']) names.delete(helper);
  return `none of its codecs is supported: ${[...names].sort().join(', ')} are`;
}

function ingestTrack(
  section: OfferedSection,
  match: MatchedCodec,
  capabilities: ms.RtpCapabilities,
): IngestTrack {
  const kind = section.kind === 'audio' ? 'audio' : 'video';
  const headerExtensions = receivedExtensions(section, capabilities);
  const codec: ms.RtpCodecParameters = {
    mimeType: match.capability.mimeType,
    payloadType: match.offered.payloadType,
    clockRate: match.offered.clockRate,
    ...(kind === 'audio' ? { channels: match.offered.channels } : {}),
    parameters: acceptedParameters(match),
    rtcpFeedback: bandwidthFeedback(match.feedback, headerExtensions),
  };
  const codecs = [codec];
  if (match.rtxPayloadType !== undefined) {
    codecs.push({
      mimeType: `${kind}/rtx`,
      payloadType: match.rtxPayloadType,
      clockRate: match.offered.clockRate,
      parameters: { apt: match.offered.payloadType },
      rtcpFeedback: [],
    });
  }
  const { encodings, rids } = encodingsOf(section, codec, headerExtensions);
  const cname = section.ssrcs.find((source) => source.cname !== undefined)?.cname;
  return {
    section,
    kind,
    rtpParameters: {
      mid: section.mid,
      codecs,
      headerExtensions,
      encodings,
      rtcp: { reducedSize: true, ...(cname === undefined ? {} : { cname }) },
    },
    answeredCodecs: [
      kind === 'video'
        ? { ...codec, parameters: { ...codec.parameters, 'x-google-start-bitrate': START_BITRATE } }
        : codec,
      ...codecs.slice(1),
    ],
    rids,
    screen: isScreen(section),
  };
}

/** What the publisher is asked to send; Opus is said as its receiver wishes it (RFC 7587 §7). */
function acceptedParameters({ offered }: MatchedCodec): Record<string, string | number> {
  const parameters = codecParameters(offered);
  if (offered.name.toLowerCase() !== 'opus') return parameters;
  const stereo = parameters.stereo === 1 || parameters['sprop-stereo'] === 1;
  return {
    minptime: 10,
    useinbandfec: 1,
    ...(stereo ? { stereo: 1, 'sprop-stereo': 1 } : {}),
    ...(parameters.usedtx === 1 ? { usedtx: 1 } : {}),
  };
}

/** `a=content:slides` (RFC 4796), or a stream or track that its page named so. */
function isScreen({ content, msid }: OfferedSection): boolean {
  return (
    content?.split(',').includes('slides') === true ||
    /screen/i.test(`${msid?.stream ?? ''} ${msid?.track ?? ''}`)
  );
}

/** One SSRC in two sections would be two tracks of the same packets. */
function checkDistinct(tracks: readonly IngestTrack[]): void {
  const owners = new Map<number, string>();
  for (const { section, rtpParameters } of tracks) {
    for (const { ssrc, rtx } of rtpParameters.encodings ?? []) {
      for (const number of [ssrc, rtx?.ssrc]) {
        if (number === undefined) continue;
        const owner = owners.get(number);
        if (owner !== undefined) {
          throw new SdpError(
            'rtp',
            `SSRC ${number} is in the sections with mid ${owner} and ${section.mid}: every stream needs its own`,
          );
        }
        owners.set(number, section.mid);
      }
    }
  }
}
