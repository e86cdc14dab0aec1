/** RTP codecs as GStreamer names them (pure: text only). */
import type { RtpCodec, SrtpKey } from './protocol.ts';

/** How to get from RTP packets to a stream of one codec, and on to raw media. */
interface CodecElements {
  kind: 'audio' | 'video';
  /** Depayloader, by factory name. */
  depay: string;
  /** Element text that makes a decodable stream of whole frames of the depayloader's output. */
  parse: string;
  /** Element text of the decoder. */
  decode: string;
}

/**
 * Loss in a picture must not be shown as garbage nor recorded: video depayloaders wait for the next keyframe and
 * ask for it. Decoders run in their caller's thread: frame threads would hold frames back, and the machine
 * is shared by many pipelines anyway.
 */
const ELEMENTS: Readonly<Record<string, CodecElements>> = {
  'video/h264': {
    kind: 'video',
    depay: 'rtph264depay',
    // In AVC form the depayloader takes parameter sets out of the stream, and h264parse puts them before every
    // keyframe. As a byte stream it ends an access unit at each of them, and some senders send them with every
    // slice: such pieces come without timestamps, and the muxer would wait for ever.
    parse: 'video/x-h264,stream-format=avc,alignment=au ! h264parse config-interval=-1',
    decode: 'avdec_h264 max-threads=1 output-corrupt=false',
  },
  'video/vp8': {
    kind: 'video',
    depay: 'rtpvp8depay',
    parse: 'identity silent=true',
    decode: 'vp8dec threads=1',
  },
  'video/vp9': {
    kind: 'video',
    depay: 'rtpvp9depay',
    parse: 'vp9parse',
    decode: 'vp9dec threads=1',
  },
  'audio/opus': {
    kind: 'audio',
    depay: 'rtpopusdepay',
    parse: 'opusparse',
    decode: 'opusdec plc=true use-inband-fec=true',
  },
  'audio/pcmu': { kind: 'audio', depay: 'rtppcmudepay', parse: 'identity silent=true', decode: 'mulawdec' },
  'audio/pcma': { kind: 'audio', depay: 'rtppcmadepay', parse: 'identity silent=true', decode: 'alawdec' },
};

/**
 * Lets no picture pass that has no timestamp, and every other one as it is: one such picture, and a compositor ends with
 * an error. Decoders make them where pieces of a stream come out of order; their size must be known (caps) before.
 * The element draws DVB subtitles, of which there are none; no other one of GStreamer 1.22 does this without holding
 * pictures back.
 */
export const TIMED_PICTURES = 'dvbsuboverlay enable=false';

/** @throws Error for a codec that cannot be received. */
export function codecElements(mimeType: string): CodecElements {
  const elements = ELEMENTS[mimeType.toLowerCase()];
  if (!elements)
    throw new Error(`codec ${mimeType} cannot be received (known: ${Object.keys(ELEMENTS).join(', ')})`);
  return elements;
}

const CIPHERS: Readonly<Record<SrtpKey['cryptoSuite'], { cipher: string; auth: string; keyBytes: number }>> =
  {
    AEAD_AES_256_GCM: { cipher: 'aes-256-gcm', auth: 'null', keyBytes: 44 },
    AEAD_AES_128_GCM: { cipher: 'aes-128-gcm', auth: 'null', keyBytes: 28 },
    AES_CM_128_HMAC_SHA1_80: { cipher: 'aes-128-icm', auth: 'hmac-sha1-80', keyBytes: 30 },
    AES_CM_128_HMAC_SHA1_32: { cipher: 'aes-128-icm', auth: 'hmac-sha1-32', keyBytes: 30 },
  };

export interface SrtpCipher {
  cipher: string;
  auth: string;
  /** SRTCP's authentication: the 32 bit suite shortens only SRTP's tag (RFC 4568, 6.2). */
  rtcpAuth: string;
  /** Master key and salt, hexadecimal. */
  keyHex: string;
}

/** @param decode base64 to bytes (GLib's or Node's). @throws Error if the key has the wrong length for its suite */
export function srtpCipher(key: SrtpKey, decode: (base64: string) => Uint8Array): SrtpCipher {
  const suite = CIPHERS[key.cryptoSuite];
  const bytes = decode(key.keyBase64);
  if (bytes.length !== suite.keyBytes)
    throw new Error(`${key.cryptoSuite} takes ${suite.keyBytes} bytes of key and salt, not ${bytes.length}`);
  return {
    cipher: suite.cipher,
    auth: suite.auth,
    rtcpAuth: suite.auth === 'hmac-sha1-32' ? 'hmac-sha1-80' : suite.auth,
    keyHex: [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}

/** Caps of the packets a socket receives: what SDP would say (`rtcp-fb` makes rtpsession send NACK and PLI). */
export function rtpCaps(codec: RtpCodec, ssrc: number, srtp?: SrtpCipher): string {
  const { kind } = codecElements(codec.mimeType);
  const encoding = codec.mimeType.slice(codec.mimeType.indexOf('/') + 1).toUpperCase();
  const fields = [
    `${srtp ? 'application/x-srtp' : 'application/x-rtp'}, media=(string)${kind}`,
    `encoding-name=(string)${encoding}`,
    `payload=(int)${codec.payloadType}`,
    `clock-rate=(int)${codec.clockRate}`,
    `ssrc=(uint)${ssrc}`,
    ...(kind === 'video' ? ['rtcp-fb-nack-pli=(boolean)true'] : []),
    'rtcp-fb-nack=(boolean)true',
    ...fmtp(codec),
  ];
  if (srtp)
    fields.push(
      `srtp-key=(buffer)${srtp.keyHex}`,
      `srtp-cipher=(string)${srtp.cipher}`,
      `srtp-auth=(string)${srtp.auth}`,
      `srtcp-cipher=(string)${srtp.cipher}`,
      `srtcp-auth=(string)${srtp.rtcpAuth}`,
    );
  return fields.join(', ');
}

/** Characters an fmtp value may have without being able to end the caps string it is put into. */
const HARMLESS = /^[\w+/=.,:-]*$/;

function fmtp(codec: RtpCodec): string[] {
  const fields: string[] = [];
  if (codec.channels) fields.push(`encoding-params=(string)${codec.channels}`);
  for (const [name, value] of Object.entries(codec.parameters)) {
    const text = String(value);
    if (/^[a-z][\w-]*$/i.test(name) && HARMLESS.test(text)) fields.push(`${name}=(string)"${text}"`);
  }
  return fields;
}
