/**
 * The second stage: an offer whose transport can be set up and whose sections say clearly what they carry.
 * Whether a section can be taken is decided later, by what it is wanted for.
 */
import { quote, SdpError } from './errors.ts';
import { parseRaw } from './raw.ts';
import type { RawSection, RawSession } from './raw.ts';
import { transportOf } from './transport.ts';
import type { RemoteTransport } from './transport.ts';

export type Direction = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

export interface OfferedCodec {
  payloadType: number;
  /** e.g. `VP8`, as the offer writes it. */
  name: string;
  clockRate: number;
  /** 1 where the offer says nothing. */
  channels: number;
  /** From `a=fmtp`, keys in lower case. */
  parameters: Readonly<Record<string, string>>;
  feedback: { type: string; parameter: string }[];
}

export interface OfferedExtension {
  id: number;
  uri: string;
}

export interface OfferedSection {
  /** Place in the offer; the answer has the same. */
  index: number;
  /** `audio`, `video`, or something we do not take. */
  kind: string;
  mid: string;
  protocol: string;
  /** Formats of the m-line as they are written, e.g. `111 63 9`. */
  formats: string;
  direction: Direction;
  /** In the offer's order of preference. */
  codecs: OfferedCodec[];
  /** Those the offerer can send and receive as far as `direction` needs it. */
  extensions: OfferedExtension[];
  ssrcs: { ssrc: number; cname?: string }[];
  /** e.g. `FID` with two SSRCs: media, retransmission. */
  ssrcGroups: { semantics: string; ssrcs: number[] }[];
  /** Of `a=simulcast:send`, in its order, each its first alternative; else of `a=rid:... send`. */
  sendRids: { id: string; maxWidth?: number; maxHeight?: number }[];
  msid?: { stream: string; track: string };
  /** RFC 4796, e.g. `slides`. */
  content?: string;
  /** Why this section cannot share the transport; nothing if it can. */
  obstacle?: string;
}

export interface Offer {
  transport: RemoteTransport;
  /** The answer may only group the kept sections when the offer does. */
  bundled: boolean;
  sections: OfferedSection[];
}

/** @throws SdpError */
export function parseOffer(sdp: string): Offer {
  const raw = parseRaw(sdp);
  if (raw.media.length === 0) {
    throw new SdpError('media', 'the offer has no "m=" line: it must offer audio or video');
  }
  const bundle = bundledMids(raw);
  const sections = raw.media.map((section, index) => readSection(raw, section, index));
  const mids = new Set<string>();
  for (const section of sections) {
    if (mids.has(section.mid)) {
      throw new SdpError('bundle', `two sections have "a=mid:${section.mid}": mids must be unique`);
    }
    mids.add(section.mid);
    const obstacle = obstacleOf(raw, section, bundle);
    if (obstacle !== undefined) section.obstacle = obstacle;
  }
  return { transport: transportOf(raw, bundle), bundled: bundle !== undefined, sections };
}

/** Mids of the first BUNDLE group, or undefined when there is none. */
function bundledMids(raw: RawSession): ReadonlySet<string> | undefined {
  const group = raw.groups.find(({ type }) => type === 'BUNDLE');
  if (!group) return undefined;
  const mids = group.mids.split(/\s+/).filter(Boolean);
  for (const mid of mids) {
    if (!raw.media.some((section) => section.mid === mid)) {
      throw new SdpError('bundle', `"a=group:BUNDLE" names ${quote(mid)}, but no section has that "a=mid"`);
    }
  }
  return new Set(mids);
}

function readSection(session: RawSession, raw: RawSection, index: number): OfferedSection {
  const where = `section ${index + 1} (m=${raw.type})`;
  if (raw.mid === undefined) throw new SdpError('bundle', `${where} has no "a=mid" line`);
  if (!/^[\x21-\x7e]{1,255}$/.test(raw.mid)) {
    throw new SdpError('bundle', `${where} has an invalid "a=mid": it must be a short printable word`);
  }
  const direction = raw.direction ?? session.direction ?? 'sendrecv';
  const [msid, content] = [raw.msid, raw.content];
  return {
    index,
    kind: raw.type,
    mid: raw.mid,
    protocol: raw.protocol,
    formats: raw.payloads.trim(),
    direction,
    codecs: readCodecs(raw),
    extensions: readExtensions(raw, direction, where),
    ssrcs: readSsrcs(raw),
    ssrcGroups: readSsrcGroups(raw, where),
    sendRids: readSendRids(raw, where),
    ...(msid === undefined ? {} : { msid }),
    ...(content === undefined ? {} : { content }),
  };
}

/** Formats that need no `a=rtpmap` (RFC 3551 §6). */
const STATIC_CODECS: Readonly<Record<number, { name: string; clockRate: number }>> = {
  0: { name: 'PCMU', clockRate: 8000 },
  8: { name: 'PCMA', clockRate: 8000 },
};

function readCodecs(raw: RawSection): OfferedCodec[] {
  const codecs = new Map<number, OfferedCodec>();
  for (const format of raw.payloads.trim().split(/\s+/)) {
    if (!/^\d{1,3}$/.test(format)) continue;
    const payloadType = Number(format);
    const mapped = raw.rtp.find(({ payload }) => payload === payloadType);
    const name = mapped?.codec ?? STATIC_CODECS[payloadType]?.name;
    const clockRate = mapped?.rate ?? STATIC_CODECS[payloadType]?.clockRate;
    if (name === undefined || clockRate === undefined || codecs.has(payloadType)) continue;
    codecs.set(payloadType, {
      payloadType,
      name,
      clockRate,
      channels: mapped?.encoding ?? 1,
      parameters: parseFmtp(raw.fmtp.filter(({ payload }) => payload === payloadType)),
      feedback: raw.rtcpFb
        .filter(({ payload }) => payload === '*' || payload === payloadType)
        .map(({ type, subtype = '' }) => ({ type, parameter: subtype })),
    });
  }
  return [...codecs.values()];
}

function parseFmtp(lines: readonly { config: string }[]): Record<string, string> {
  const parameters = Object.create(null) as Record<string, string>;
  for (const part of lines.flatMap(({ config }) => config.split(';'))) {
    const [, key, value = ''] = /^\s*([^=\s]+)\s*(?:=\s*(.*?)\s*)?$/.exec(part) ?? [];
    if (key !== undefined) parameters[key.toLowerCase()] = value;
  }
  return parameters;
}

function readExtensions(raw: RawSection, direction: Direction, where: string): OfferedExtension[] {
  const ids = new Map<number, string>();
  for (const { value: id, uri, direction: only = 'sendrecv' } of raw.ext) {
    if (id < 1 || id > 255) throw new SdpError('rtp', `${where} has an "a=extmap" id that is not 1 to 255`);
    const usable =
      only === 'sendrecv' ||
      (direction !== 'recvonly' && only === 'sendonly') ||
      (direction === 'recvonly' && only === 'recvonly');
    if (usable && !ids.has(id)) ids.set(id, uri);
  }
  return [...ids].map(([id, uri]) => ({ id, uri }));
}

function readSsrcs(raw: RawSection): OfferedSection['ssrcs'] {
  const ssrcs = new Map<number, string | undefined>();
  for (const { id, attribute, value } of raw.ssrcs) {
    ssrcs.set(id, attribute === 'cname' ? value : ssrcs.get(id));
  }
  return [...ssrcs].map(([ssrc, cname]) => ({ ssrc, ...(cname ? { cname } : {}) }));
}

function readSsrcGroups(raw: RawSection, where: string): OfferedSection['ssrcGroups'] {
  return raw.ssrcGroups.map(({ semantics, ssrcs }) => ({
    semantics,
    ssrcs: ssrcs
      .trim()
      .split(/\s+/)
      .map((word) => {
        const ssrc = Number(word);
        if (!/^\d+$/.test(word) || ssrc > 0xffffffff) {
          throw new SdpError('rtp', `${where} has an "a=ssrc-group" with ${quote(word)}: it must list SSRCs`);
        }
        return ssrc;
      }),
  }));
}

function readSendRids(raw: RawSection, where: string): OfferedSection['sendRids'] {
  const declared = new Map(
    raw.rids
      .filter(({ direction }) => direction === 'send')
      .map(({ id, restrictions }) => [id, parseFmtp([{ config: restrictions }])]),
  );
  const { simulcast } = raw;
  let list: string | undefined;
  if (simulcast?.dir1 === 'send') list = simulcast.list1;
  else if (simulcast?.dir2 === 'send') list = simulcast.list2;
  // Alternatives are separated by commas, "~" marks a layer that starts paused (RFC 8853 §5.1).
  const ids = list
    ?.trim()
    .split(';')
    .map((stream) => (stream.split(',')[0] ?? '').replace(/^~/, ''));
  return (ids ?? [...declared.keys()]).map((id) => {
    const restrictions = declared.get(id);
    if (!restrictions) {
      throw new SdpError(
        'rtp',
        `${where} has "a=simulcast" with ${quote(id)}, but no "a=rid:${quote(id).slice(1, -1)} send"`,
      );
    }
    if (!/^[\w-]{1,255}$/.test(id)) {
      throw new SdpError(
        'rtp',
        `${where} has the rid ${quote(id)}: only letters, digits, "-" and "_" are allowed`,
      );
    }
    const maxWidth = Number(restrictions['max-width']);
    const maxHeight = Number(restrictions['max-height']);
    return {
      id,
      ...(maxWidth > 0 ? { maxWidth } : {}),
      ...(maxHeight > 0 ? { maxHeight } : {}),
    };
  });
}

/** Why a section cannot be carried by the one transport, whatever it is wanted for. */
function obstacleOf(
  raw: RawSession,
  section: OfferedSection,
  bundle: ReadonlySet<string> | undefined,
): string | undefined {
  const lines = raw.media[section.index];
  if (section.kind !== 'audio' && section.kind !== 'video') {
    return `m=${section.kind} is not supported: only audio and video are`;
  }
  if (lines?.port === 0 && !bundle?.has(section.mid)) return 'the offer itself disables it (port 0)';
  if (!/^(UDP|TCP)\/TLS\/RTP\/SAVPF?$|^RTP\/SAVPF?$/.test(section.protocol)) {
    return `protocol ${quote(section.protocol)} is not supported: it must be UDP/TLS/RTP/SAVPF`;
  }
  if (lines?.rtcpMux === undefined) return 'it has no "a=rtcp-mux" line';
  if (bundle ? !bundle.has(section.mid) : raw.media.length > 1) {
    return 'it is not in "a=group:BUNDLE": all sections must share one transport';
  }
  return undefined;
}
