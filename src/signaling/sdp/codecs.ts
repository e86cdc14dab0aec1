/** Which offered codecs a router takes, and how both sides write them. */
import { isSameProfile } from 'h264-profile-level-id';
import type { types as ms } from 'mediasoup';
import type { OfferedCodec, OfferedSection } from './offer.ts';

/** An offered codec a router knows. */
export interface MatchedCodec {
  offered: OfferedCodec;
  /** Payload type the offer pairs with it for retransmissions (RFC 4588). */
  rtxPayloadType?: number;
  /** The router's entry. */
  capability: ms.RouterRtpCodecCapability;
  /** What both sides know, in the offer's order. */
  feedback: ms.RtcpFeedback[];
}

/** Offered and routed, but no media of their own: nobody publishes only these. */
const HELPERS = new Set(['rtx', 'red', 'ulpfec', 'flexfec-03', 'cn', 'telephone-event']);

/** Codecs of a section that the router has too, in the offer's order of preference. */
export function matchCodecs(section: OfferedSection, capabilities: ms.RtpCapabilities): MatchedCodec[] {
  return section.codecs.flatMap((offered) => {
    if (HELPERS.has(offered.name.toLowerCase())) return [];
    const capability = capabilities.codecs?.find((codec) => isSameCodec(section.kind, offered, codec));
    if (!capability) return [];
    const rtx = section.codecs.find(
      ({ name, parameters }) =>
        name.toLowerCase() === 'rtx' && parameters.apt === String(offered.payloadType),
    );
    return [
      {
        offered,
        capability,
        feedback: commonFeedback(offered, capability),
        ...(rtx === undefined ? {} : { rtxPayloadType: rtx.payloadType }),
      },
    ];
  });
}

/** The same rules mediasoup's `ortc` compares with, so that what is matched here is not refused there. */
function isSameCodec(kind: string, offered: OfferedCodec, capability: ms.RouterRtpCodecCapability): boolean {
  if (`${kind}/${offered.name}`.toLowerCase() !== capability.mimeType.toLowerCase()) return false;
  if (offered.clockRate !== capability.clockRate) return false;
  if (kind === 'audio' && offered.channels !== (capability.channels ?? 1)) return false;
  const ours = capability.parameters ?? {};
  const number = (value: unknown) => Number(value ?? 0);
  switch (offered.name.toLowerCase()) {
    case 'h264':
      return (
        number(offered.parameters['packetization-mode']) === number(ours['packetization-mode']) &&
        isSameProfile({ ...offered.parameters }, { ...ours })
      );
    case 'vp9':
      return number(offered.parameters['profile-id']) === number(ours['profile-id']);
    case 'av1':
      // mediasoup does not look at it; we route the main profile only, as its capability says nothing else.
      return number(offered.parameters.profile) === number(ours.profile);
    default:
      return true;
  }
}

function commonFeedback(offered: OfferedCodec, capability: ms.RouterRtpCodecCapability): ms.RtcpFeedback[] {
  const seen = new Set<string>();
  return offered.feedback.filter(({ type, parameter }) => {
    const key = `${type} ${parameter}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return capability.rtcpFeedback?.some(
      (ours) => ours.type === type && (ours.parameter ?? '') === parameter,
    );
  });
}

/** An offered `a=fmtp` as mediasoup wants it: whole numbers as numbers. */
export function codecParameters(offered: OfferedCodec): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(offered.parameters).map(([key, value]) => {
      // A profile-level-id of digits alone is still hexadecimal.
      const isNumber = key !== 'profile-level-id' && /^\d{1,9}$/.test(value);
      return [key, isNumber ? Number(value) : value];
    }),
  );
}
