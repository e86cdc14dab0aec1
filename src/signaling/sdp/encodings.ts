/** The RTP streams of a published section: simulcast by rid, simulcast by SSRC (Plan B's `SIM`), or one. */
import type { types as ms } from 'mediasoup';
import { SdpError } from './errors.ts';
import { MID, RID } from './extensions.ts';
import type { OfferedSection } from './offer.ts';

/** As many as libwebrtc sends. */
const MAX_LAYERS = 4;

/**
 * Browsers send VP8 simulcast layers with temporal layers, and SDP does not say how many. mediasoup drops the
 * frames of temporal layers it was not told of, while more than there are do no harm.
 */
const SIMULCAST_MODE = 'L1T3';

export interface Encodings {
  /** Lowest layer first, as mediasoup wants them. */
  encodings: ms.RtpEncodingParameters[];
  /** In the offer's order; empty when streams are told apart by SSRC. */
  rids: string[];
}

/** @throws SdpError `rtp` when the packets of the section could not be recognised. */
export function encodingsOf(
  section: OfferedSection,
  codec: ms.RtpCodecParameters,
  extensions: readonly ms.RtpHeaderExtensionParameters[],
): Encodings {
  const where = `section ${section.index + 1} (mid ${section.mid})`;
  const has = (uri: string) => extensions.some((extension) => extension.uri === uri);
  const dtx = codec.parameters?.usedtx === 1 ? { dtx: true } : {};

  if (section.kind === 'video' && section.sendRids.length > 0) {
    if (!has(RID) || !has(MID)) {
      throw new SdpError(
        'rtp',
        `${where} offers rids without the header extensions for them: "a=extmap" needs ${RID} and ${MID}`,
      );
    }
    checkLayers(where, section.sendRids.length);
    const ordered = lowestFirst(section.sendRids).map(({ id }) => ({ rid: id }));
    if (new Set(ordered.map(({ rid }) => rid)).size < ordered.length) {
      throw new SdpError('rtp', `${where} names a rid twice in "a=simulcast"`);
    }
    return { encodings: withTemporalLayers(ordered), rids: section.sendRids.map(({ id }) => id) };
  }

  const layers = section.ssrcGroups.find(({ semantics }) => semantics === 'SIM')?.ssrcs;
  if (section.kind === 'video' && layers !== undefined && layers.length > 1) {
    checkLayers(where, layers.length);
    if (new Set(layers).size < layers.length) {
      throw new SdpError('rtp', `${where} names an SSRC twice in "a=ssrc-group:SIM"`);
    }
    const encodings = layers.map((ssrc) => ({ ssrc, ...rtxOf(section, ssrc) }));
    return { encodings: withTemporalLayers(encodings), rids: [] };
  }

  const ssrc = mediaSsrc(section);
  if (ssrc === undefined && !has(MID)) {
    throw new SdpError(
      'rtp',
      `${where} has neither "a=ssrc" lines nor "a=extmap" for ${MID}: its packets could not be recognised`,
    );
  }
  return {
    encodings: [{ ...(ssrc === undefined ? {} : { ssrc, ...rtxOf(section, ssrc) }), ...dtx }],
    rids: [],
  };
}

function checkLayers(where: string, count: number): void {
  if (count > MAX_LAYERS) {
    throw new SdpError('rtp', `${where} offers ${count} simulcast layers: at most ${MAX_LAYERS} are allowed`);
  }
}

function withTemporalLayers(encodings: ms.RtpEncodingParameters[]): ms.RtpEncodingParameters[] {
  if (encodings.length < 2) return encodings;
  return encodings.map((encoding) => ({ ...encoding, scalabilityMode: SIMULCAST_MODE }));
}

/** The first SSRC that is not another one's retransmission or error correction. */
function mediaSsrc(section: OfferedSection): number | undefined {
  const repairs = new Set(
    section.ssrcGroups
      .filter(({ semantics }) => semantics === 'FID' || semantics === 'FEC-FR')
      .flatMap(({ ssrcs }) => ssrcs.slice(1)),
  );
  return section.ssrcs.find(({ ssrc }) => !repairs.has(ssrc))?.ssrc;
}

function rtxOf(section: OfferedSection, ssrc: number): { rtx?: { ssrc: number } } {
  const group = section.ssrcGroups.find(({ semantics, ssrcs }) => semantics === 'FID' && ssrcs[0] === ssrc);
  const rtx = group?.ssrcs[1];
  return rtx === undefined || rtx === ssrc ? {} : { rtx: { ssrc: rtx } };
}

/** Names of layers that say their rank themselves, lowest first. */
const RANKED_NAMES: readonly (readonly string[])[] = [
  ['q', 'h', 'f'],
  ['l', 'm', 'h'],
  ['lo', 'mid', 'hi'],
  ['low', 'mid', 'high'],
  ['low', 'medium', 'high'],
];

/**
 * SDP has no order of size. Restrictions in pixels say it; so do the names most clients use, which come in
 * either order; what says nothing is in the order clients name their encodings in, lowest first.
 */
function lowestFirst(rids: OfferedSection['sendRids']): OfferedSection['sendRids'] {
  const size = ({ maxWidth = 0, maxHeight = 0 }: (typeof rids)[number]) => Math.max(maxWidth, maxHeight);
  if (rids.every((rid) => size(rid) > 0)) return [...rids].sort((a, b) => size(a) - size(b));
  const ranking = RANKED_NAMES.find((names) => rids.every(({ id }) => names.includes(id.toLowerCase())));
  if (!ranking) return rids;
  const rank = ({ id }: (typeof rids)[number]) => ranking.indexOf(id.toLowerCase());
  return [...rids].sort((a, b) => rank(a) - rank(b));
}
