/** Writes answers (RFC 3264, RFC 8829): what both WHIP and WHEP say, one section for each one offered. */
import type { types as ms } from 'mediasoup';
import type { Offer, OfferedSection } from './offer.ts';

export interface LocalTransport {
  iceParameters: ms.IceParameters;
  iceCandidates: readonly ms.IceCandidate[];
  fingerprints: readonly ms.DtlsFingerprint[];
}

/** A section the answer keeps. */
export interface AnsweredSection {
  index: number;
  direction: 'recvonly' | 'sendonly' | 'inactive';
  codecs: readonly ms.RtpCodecParameters[];
  extensions: readonly ms.RtpHeaderExtensionParameters[];
  /** Simulcast layers we receive, in the offer's order. */
  rids?: readonly string[];
  msid?: { stream: string; track: string };
  /** Named only where the viewer cannot tell packets apart otherwise. */
  source?: { ssrc: number; rtxSsrc?: number; cname: string };
}

export interface AnswerParts {
  offer: Offer;
  transport: LocalTransport;
  /** By index; those that are missing are disabled. */
  sections: readonly AnsweredSection[];
  /** A number of the session, up to 2^62. */
  sessionId: bigint;
  /** Counts answers of the session from 1. */
  version: number;
}

export function writeAnswer(parts: AnswerParts): string {
  const { offer, transport, sections } = parts;
  const kept = offer.sections.filter(({ index }) => sections.some((section) => section.index === index));
  const lines = [
    'v=0',
    `o=- ${parts.sessionId} ${parts.version} IN IP4 0.0.0.0`,
    's=-',
    't=0 0',
    'a=ice-lite',
    'a=ice-options:trickle',
    ...(offer.bundled ? [`a=group:BUNDLE ${kept.map(({ mid }) => mid).join(' ')}`] : []),
    'a=msid-semantic:WMS *',
  ];
  for (const offered of offer.sections) {
    const section = sections.find(({ index }) => index === offered.index);
    if (section) lines.push(...keptSection(offered, section, transport, offer.transport.setup));
    else lines.push(...rejectedSection(offered));
  }
  return `${lines.join('\r\n')}\r\n`;
}

function rejectedSection(offered: OfferedSection): string[] {
  return [
    `m=${offered.kind} 0 ${offered.protocol} ${offered.formats || '0'}`,
    'c=IN IP4 0.0.0.0',
    `a=mid:${offered.mid}`,
    'a=inactive',
  ];
}

function keptSection(
  offered: OfferedSection,
  section: AnsweredSection,
  transport: LocalTransport,
  setup: string,
): string[] {
  return [
    `m=${offered.kind} 9 ${offered.protocol} ${section.codecs.map(({ payloadType }) => payloadType).join(' ')}`,
    'c=IN IP4 0.0.0.0',
    `a=mid:${offered.mid}`,
    `a=ice-ufrag:${transport.iceParameters.usernameFragment}`,
    `a=ice-pwd:${transport.iceParameters.password}`,
    ...candidateLines(transport.iceCandidates),
    ...transport.fingerprints.map(({ algorithm, value }) => `a=fingerprint:${algorithm} ${value}`),
    `a=setup:${setup}`,
    'a=rtcp-mux',
    'a=rtcp-rsize',
    `a=${section.direction}`,
    ...section.extensions.map(({ id, uri }) => `a=extmap:${id} ${uri}`),
    ...section.codecs.flatMap(codecLines),
    ...ridLines(section.rids ?? []),
    ...sourceLines(section),
  ];
}

/** Also of a trickle fragment. */
export function candidateLines(candidates: readonly ms.IceCandidate[]): string[] {
  const lines = candidates.map(({ foundation, protocol, priority, address, port, tcpType }) => {
    const tcp = protocol === 'tcp' ? ` tcptype ${tcpType ?? 'passive'}` : '';
    return `a=candidate:${foundation} 1 ${protocol} ${priority} ${address} ${port} typ host${tcp}`;
  });
  return [...lines, 'a=end-of-candidates'];
}

function codecLines(codec: ms.RtpCodecParameters): string[] {
  const { payloadType, clockRate, channels = 1 } = codec;
  const name = codec.mimeType.split('/')[1] ?? codec.mimeType;
  const parameters = Object.entries(codec.parameters ?? {}).map(([key, value]) =>
    value === '' ? key : `${key}=${String(value)}`,
  );
  return [
    `a=rtpmap:${payloadType} ${name}/${clockRate}${channels > 1 ? `/${channels}` : ''}`,
    ...(parameters.length > 0 ? [`a=fmtp:${payloadType} ${parameters.join(';')}`] : []),
    ...(codec.rtcpFeedback ?? []).map(
      ({ type, parameter }) => `a=rtcp-fb:${payloadType} ${type}${parameter ? ` ${parameter}` : ''}`,
    ),
  ];
}

function ridLines(rids: readonly string[]): string[] {
  if (rids.length === 0) return [];
  return [...rids.map((rid) => `a=rid:${rid} recv`), `a=simulcast:recv ${rids.join(';')}`];
}

function sourceLines({ msid, source }: AnsweredSection): string[] {
  const lines = msid ? [`a=msid:${msid.stream} ${msid.track}`] : [];
  if (!source) return lines;
  const { ssrc, rtxSsrc, cname } = source;
  if (rtxSsrc !== undefined) lines.push(`a=ssrc-group:FID ${ssrc} ${rtxSsrc}`);
  for (const each of [ssrc, rtxSsrc]) {
    if (each === undefined) continue;
    lines.push(`a=ssrc:${each} cname:${cname}`);
    if (msid) lines.push(`a=ssrc:${each} msid:${msid.stream} ${msid.track}`);
  }
  return lines;
}
