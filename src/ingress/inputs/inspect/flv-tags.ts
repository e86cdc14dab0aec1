/** What FLV tags begin with (Adobe FLV 10.1, annex E; enhanced RTMP v1). Pure. */

const VIDEO_CODECS: Readonly<Record<number, string>> = {
  2: 'flv1',
  3: 'flashsv',
  4: 'vp6f',
  5: 'vp6a',
  6: 'flashsv2',
  7: 'h264',
  12: 'hevc',
  13: 'av1',
};
const FOURCC: Readonly<Record<string, string>> = {
  avc1: 'h264',
  hvc1: 'hevc',
  av01: 'av1',
  vp08: 'vp8',
  vp09: 'vp9',
};
const AUDIO_CODECS: Readonly<Record<number, string>> = {
  0: 'pcm_s16le',
  1: 'adpcm_swf',
  2: 'mp3',
  3: 'pcm_s16le',
  4: 'nellymoser',
  5: 'nellymoser',
  6: 'nellymoser',
  7: 'pcm_alaw',
  8: 'pcm_mulaw',
  10: 'aac',
  11: 'speex',
  14: 'mp3',
};
const SOUND_RATES = [5512, 11_025, 22_050, 44_100];
const G711_RATE = 8000;
const WIDE_BAND_RATE = 16_000;

export interface VideoTag {
  codec: string;
  keyFrame: boolean;
  /** Codec configuration, not a frame. */
  header: boolean;
  /** End of sequence, command frames: nothing to be shown. */
  empty: boolean;
  /** ms from decoding to presentation. */
  compositionMs: number;
  /** Offset of the codec's own bytes. */
  data: number;
}

/** The codec named by `CodecID` or FourCC; undefined for an empty body. */
export function readVideoTag(body: Buffer): VideoTag | undefined {
  const [first, second = 0] = body;
  if (first === undefined) return undefined;
  if (first & 0x80) {
    const type = first & 0x0f;
    const fourcc = body.toString('latin1', 1, 5);
    return {
      codec: FOURCC[fourcc] ?? 'unknown',
      keyFrame: ((first >> 4) & 7) === 1,
      header: type === 0,
      empty: type !== 0 && type !== 1 && type !== 3,
      compositionMs: 0,
      data: 5,
    };
  }
  const number = first & 0x0f;
  const frameType = first >> 4;
  const codec = VIDEO_CODECS[number] ?? `flv video codec ${number}`;
  const packed = number === 7 || number === 12 || number === 13;
  return {
    codec,
    keyFrame: frameType === 1,
    header: packed && second === 0,
    empty: frameType === 5 || (packed && second > 1) || body.length < (packed ? 6 : 2),
    compositionMs: packed && second === 1 && body.length >= 5 ? body.readIntBE(2, 3) : 0,
    data: packed ? 5 : 1,
  };
}

export interface AudioTag {
  codec: string;
  /** Of the tag, which for AAC, MP3 and G.711 is no more than a guess. */
  sampleRate: number;
  channels: number;
  header: boolean;
  data: number;
}

export function readAudioTag(body: Buffer): AudioTag | undefined {
  const [first, second = 0] = body;
  if (first === undefined) return undefined;
  const format = first >> 4;
  const wide = format === 11 || format === 4;
  const narrow = format === 7 || format === 8 || format === 5 || format === 14;
  const rate = wide ? WIDE_BAND_RATE : narrow ? G711_RATE : (SOUND_RATES[(first >> 2) & 3] ?? 0);
  return {
    codec: AUDIO_CODECS[format] ?? `flv audio codec ${format}`,
    sampleRate: rate,
    channels: format === 11 ? 1 : (first & 1) + 1,
    header: format === 10 && second === 0,
    data: format === 10 ? 2 : 1,
  };
}
