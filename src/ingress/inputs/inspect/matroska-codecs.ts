/** Matroska's codec ids as FFmpeg's names (RFC 9559; codec mappings of the Matroska specification). Pure. */

const CODECS: Readonly<Record<string, string>> = {
  'V_MPEG4/ISO/AVC': 'h264',
  'V_MPEGH/ISO/HEVC': 'hevc',
  'V_MPEGI/ISO/VVC': 'vvc',
  'V_MPEG4/ISO/SP': 'mpeg4',
  'V_MPEG4/ISO/ASP': 'mpeg4',
  'V_MPEG4/ISO/AP': 'mpeg4',
  'V_MPEG4/MS/V3': 'msmpeg4v3',
  V_MPEG1: 'mpeg1video',
  V_MPEG2: 'mpeg2video',
  V_VP8: 'vp8',
  V_VP9: 'vp9',
  V_AV1: 'av1',
  V_MJPEG: 'mjpeg',
  V_THEORA: 'theora',
  V_PRORES: 'prores',
  V_FFV1: 'ffv1',
  V_UNCOMPRESSED: 'rawvideo',
  A_AAC: 'aac',
  A_AC3: 'ac3',
  A_EAC3: 'eac3',
  A_DTS: 'dts',
  A_OPUS: 'opus',
  A_VORBIS: 'vorbis',
  A_FLAC: 'flac',
  A_ALAC: 'alac',
  A_TRUEHD: 'truehd',
  'A_MPEG/L1': 'mp1',
  'A_MPEG/L2': 'mp2',
  'A_MPEG/L3': 'mp3',
  A_TTA1: 'tta',
  A_WAVPACK4: 'wavpack',
};

/** `WAVEFORMATEX`' format tags (RFC 2361). */
const WAVE_FORMATS: Readonly<Record<number, string>> = {
  0x02: 'adpcm_ms',
  0x06: 'pcm_alaw',
  0x07: 'pcm_mulaw',
  0x11: 'adpcm_ima_wav',
  0x31: 'gsm_ms',
  0x45: 'adpcm_g726',
  0x50: 'mp2',
  0x55: 'mp3',
  0xff: 'aac',
  0x161: 'wmav2',
  0x2000: 'ac3',
  0xa109: 'speex',
};

/** FourCCs of `BITMAPINFOHEADER`, upper case. */
const BITMAP_FORMATS: Readonly<Record<string, string>> = {
  MJPG: 'mjpeg',
  H264: 'h264',
  AVC1: 'h264',
  HEVC: 'hevc',
  H265: 'hevc',
  XVID: 'mpeg4',
  DIVX: 'mpeg4',
  DX50: 'mpeg4',
  FMP4: 'mpeg4',
  MP4V: 'mpeg4',
  FLV1: 'flv1',
  H263: 'h263',
  WMV3: 'wmv3',
  WVC1: 'vc1',
  MP42: 'msmpeg4v2',
};

/** @param codecPrivate its beginning; Microsoft's mappings name the codec in there */
export function matroskaCodec(codecId: string, codecPrivate: Buffer, bitDepth: number): string {
  const known = CODECS[codecId];
  if (known !== undefined) return known;
  if (codecId.startsWith('A_AAC/')) return 'aac';
  if (codecId === 'A_MS/ACM' && codecPrivate.length >= 2) {
    const tag = codecPrivate.readUInt16LE(0);
    return WAVE_FORMATS[tag] ?? `wave format ${tag}`;
  }
  if (codecId === 'V_MS/VFW/FOURCC' && codecPrivate.length >= 20) {
    const fourcc = codecPrivate.toString('latin1', 16, 20);
    return BITMAP_FORMATS[fourcc.toUpperCase()] ?? (/^[\w ]{4}$/.test(fourcc) ? fourcc.trim() : 'unknown');
  }
  if (codecId === 'V_QUICKTIME' && codecPrivate.length >= 8) return quickTime(codecPrivate);
  const depth = bitDepth || 16;
  if (codecId === 'A_PCM/INT/LIT') return depth === 8 ? 'pcm_u8' : `pcm_s${depth}le`;
  if (codecId === 'A_PCM/INT/BIG') return `pcm_s${depth}be`;
  if (codecId === 'A_PCM/FLOAT/IEEE') return `pcm_f${bitDepth || 32}le`;
  // Such as `A_REAL/COOK`: what is not known is at least named.
  return /^[\w/.-]{1,64}$/.test(codecId) ? codecId.slice(2).toLowerCase() : 'unknown';
}

function quickTime(codecPrivate: Buffer): string {
  const fourcc = codecPrivate.toString('latin1', 4, 8);
  return BITMAP_FORMATS[fourcc.toUpperCase()] ?? (/^\w{4}$/.test(fourcc) ? fourcc : 'unknown');
}
