/** SRT's handshake packets (draft-sharabayko-srt-01, 3.2.1), as far as a gate in front of a listener reads them. Pure. */

export interface SrtHandshake {
  /** `refusal`: the listener says no, with {@link refusal}. */
  type: 'induction' | 'conclusion' | 'refusal' | 'other';
  /** Of the one that sent it. */
  socketId: number;
  /** The Stream ID extension (3.2.1.3); undefined when it sends none. */
  streamId: string | undefined;
  /** SRT_REJECT_REASON, e.g. 10: wrong passphrase; 0 when it is no refusal. */
  refusal: number;
}

/** SRT_REJ_BADSECRET, SRT_REJ_UNSECURE: the passphrases differ; only one side has one. */
export const BAD_SECRET = 10;
export const UNSECURE = 11;
/** SRT_REJX_FORBIDDEN and SRT_REJX_CONFLICT: not this streamid; there is a caller already. */
export const FORBIDDEN = 1403;
export const CONFLICT = 1409;

const HEADER = 16;
const FIXED = HEADER + 48;
const TYPE_AT = HEADER + 20;
const SOCKET_AT = HEADER + 24;
const DESTINATION_AT = 12;
const INDUCTION = 1;
const CONCLUSION = 0xffffffff;
const AGREEMENT = 0xfffffffe;
const REFUSALS = 1000;
const STREAM_ID = 5;

/** Undefined for every other packet. */
export function readHandshake(packet: Buffer): SrtHandshake | undefined {
  // A control packet (first bit) of type 0.
  if (packet.length < FIXED || packet.readUInt16BE(0) !== 0x8000) return undefined;
  const type = packet.readUInt32BE(TYPE_AT);
  const refused = type >= REFUSALS && type < AGREEMENT;
  return {
    type:
      type === INDUCTION ? 'induction' : type === CONCLUSION ? 'conclusion' : refused ? 'refusal' : 'other',
    socketId: packet.readUInt32BE(SOCKET_AT),
    streamId: type === CONCLUSION ? streamIdOf(packet) : undefined,
    refusal: refused ? type - REFUSALS : 0,
  };
}

function streamIdOf(packet: Buffer): string | undefined {
  for (let at = FIXED; at + 4 <= packet.length;) {
    const type = packet.readUInt16BE(at);
    const length = packet.readUInt16BE(at + 2) * 4;
    const content = packet.subarray(at + 4, at + 4 + length);
    if (content.length < length) return undefined;
    if (type === STREAM_ID) {
      // Written as 32-bit words in the other byte order, padded with zeros.
      const text = Buffer.from(content).swap32().toString('utf8');
      return text.replace(/\0+$/, '');
    }
    at += 4 + length;
  }
  return undefined;
}

/** The answer to a caller's handshake that refuses it for `reason`. */
export function refuseHandshake(packet: Buffer, reason: number): Buffer {
  const answer = Buffer.from(packet.subarray(0, FIXED));
  answer.writeUInt32BE(packet.readUInt32BE(SOCKET_AT), DESTINATION_AT);
  answer.writeUInt16BE(0, HEADER + 6);
  answer.writeUInt32BE(REFUSALS + reason, TYPE_AT);
  return answer;
}
