/** The first stage: text to lines sorted by meaning. sdp-transform reads, zod holds what it read to its types. */
import { parse } from 'sdp-transform';
import { z } from 'zod';
import { quote, SdpError } from './errors.ts';

/** Offers of browsers have up to 10 KiB a section. */
export const MAX_SDP_BYTES = 256 * 1024;
/** More m-lines than any real offer. */
export const MAX_SECTIONS = 128;

/** sdp-transform turns whatever looks like a number into one, so `a=mid:0` comes as 0. */
const text = z.union([z.string(), z.number()]).transform(String);
const integer = z.number().int().nonnegative();

const shared = {
  direction: z.enum(['sendrecv', 'sendonly', 'recvonly', 'inactive']).optional(),
  iceUfrag: text.optional(),
  icePwd: text.optional(),
  setup: text.optional(),
  icelite: text.optional(),
  ext: z.array(z.object({ value: integer, direction: text.optional(), uri: text })).default([]),
};

const sectionSchema = z.object({
  ...shared,
  type: text,
  port: integer.max(65535),
  protocol: text,
  payloads: text.default(''),
  mid: text.optional(),
  rtcpMux: text.optional(),
  rtp: z.array(
    z.object({
      payload: integer.max(127),
      codec: text,
      rate: integer.optional(),
      encoding: integer.optional(),
    }),
  ),
  fmtp: z.array(z.object({ payload: integer, config: text })),
  rtcpFb: z
    .array(z.object({ payload: z.union([z.literal('*'), integer]), type: text, subtype: text.optional() }))
    .default([]),
  ssrcs: z
    .array(z.object({ id: integer.max(0xffffffff), attribute: text, value: text.optional() }))
    .default([]),
  ssrcGroups: z.array(z.object({ semantics: text, ssrcs: text })).default([]),
  simulcast: z.object({ dir1: text, list1: text, dir2: text.optional(), list2: text.optional() }).optional(),
  content: text.optional(),
});

const sessionSchema = z.object({
  ...shared,
  version: z.literal(0),
  groups: z.array(z.object({ type: text, mids: text })).default([]),
  media: z.array(sectionSchema).max(MAX_SECTIONS),
});

export type RawSection = z.output<typeof sectionSchema> & OwnLines;
export type RawSession = Omit<z.output<typeof sessionSchema>, 'media'> & OwnLines & { media: RawSection[] };

/** Lines sdp-transform keeps only the last one of, or reads too narrowly. */
export interface OwnLines {
  fingerprints: { algorithm: string; value: string }[];
  rids: { id: string; direction: string; restrictions: string }[];
  /** Stream and track of the first `a=msid`. */
  msid?: { stream: string; track: string };
}

/** @throws SdpError `syntax` */
export function parseRaw(sdp: string): RawSession {
  if (Buffer.byteLength(sdp) > MAX_SDP_BYTES) {
    throw new SdpError('syntax', `the description is too long: at most ${MAX_SDP_BYTES} bytes are allowed`);
  }
  if (!/^v=0\r?\n/.test(sdp)) {
    throw new SdpError('syntax', 'this is not SDP: it must begin with the line "v=0" (RFC 8866)');
  }
  const session = sessionSchema.safeParse(transform(sdp));
  if (!session.success) {
    throw new SdpError('syntax', `invalid ${describe(session.error.issues[0]?.path ?? [])}`);
  }
  const [own = emptyLines(), ...sections] = ownLines(sdp);
  return {
    ...session.data,
    ...own,
    media: session.data.media.map((section, index) => ({ ...section, ...(sections[index] ?? emptyLines()) })),
  };
}

function transform(sdp: string): unknown {
  try {
    return parse(sdp);
  } catch (error) {
    throw new SdpError('syntax', `the description cannot be read: ${quote(String(error))}`);
  }
}

const emptyLines = (): OwnLines => ({ fingerprints: [], rids: [] });

/** Index 0 is the session, then one a section. */
function ownLines(sdp: string): OwnLines[] {
  const all = [emptyLines()];
  for (const line of sdp.split(/\r\n|\r|\n/)) {
    // sdp-transform opens a section at the same lines.
    if (line.startsWith('m=')) all.push(emptyLines());
    const lines = all.at(-1);
    if (!lines) continue;
    const fingerprint = /^a=fingerprint:(\S+) +(\S+)/.exec(line);
    if (fingerprint) {
      lines.fingerprints.push({ algorithm: fingerprint[1] ?? '', value: fingerprint[2] ?? '' });
    }
    const rid = /^a=rid:(\S+) +(\S+) *(.*)/.exec(line);
    if (rid) {
      lines.rids.push({ id: rid[1] ?? '', direction: rid[2] ?? '', restrictions: rid[3] ?? '' });
    }
    const msid = /^a=msid:(\S+)(?: +(\S+))?/.exec(line);
    if (msid) lines.msid ??= { stream: msid[1] ?? '', track: msid[2] ?? '' };
  }
  return all;
}

/** sdp-transform's names of lines, as somebody who wrote the description knows them. */
const LINES: Readonly<Record<string, string>> = {
  version: '"v=" line: the version must be 0',
  groups: '"a=group" line: it must be "a=group:<semantics> <mids>"',
  type: '"m=" line: it must be "m=<kind> <port> <protocol> <formats>"',
  port: '"m=" line: the port must be 0 to 65535',
  protocol: '"m=" line: it must be "m=<kind> <port> <protocol> <formats>"',
  rtp: '"a=rtpmap" line: it must be "a=rtpmap:<payload type> <codec>/<clock rate>[/<channels>]"',
  fmtp: '"a=fmtp" line: it must be "a=fmtp:<payload type> <parameters>"',
  rtcpFb: '"a=rtcp-fb" line: it must be "a=rtcp-fb:<payload type or *> <feedback>"',
  ssrcs: '"a=ssrc" line: an SSRC must be 0 to 4294967295',
  ssrcGroups: '"a=ssrc-group" line: it must be "a=ssrc-group:<semantics> <SSRCs>"',
  simulcast: '"a=simulcast" line: it must be "a=simulcast:send <rids>"',
  ext: '"a=extmap" line: it must be "a=extmap:<id> <URI>"',
};

function describe(path: readonly PropertyKey[]): string {
  const line = (name: PropertyKey | undefined) => LINES[String(name)] ?? `"${String(name)}" line`;
  if (path[0] !== 'media') return line(path[0]);
  if (typeof path[1] !== 'number') return `number of "m=" lines: at most ${MAX_SECTIONS} are allowed`;
  return `${line(path[2])} (in section ${path[1] + 1})`;
}
