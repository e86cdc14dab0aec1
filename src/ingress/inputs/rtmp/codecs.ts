/** Which media is taken: what FLV has by number. Enhanced RTMP (v1, v2) is told apart to name what was sent. Pure. */

/** Whether a message's body is handed on, left out, or a reason to end with that sentence. */
export type MediaVerdict = 'take' | 'skip' | { refuse: string };

const AVC = 7;
const AAC = 10;
const SEND_VIDEO = 'send H.264';
const SEND_AUDIO = 'send AAC';

/** FLV's CodecID; 12 and 13 are not in the specification, but sent by some. */
const VIDEO_CODECS: Readonly<Record<number, string>> = {
  1: 'JPEG',
  2: 'Sorenson H.263',
  3: 'Screen Video',
  4: 'VP6',
  5: 'VP6 with alpha',
  6: 'Screen Video 2',
  12: 'HEVC',
  13: 'AV1',
};

/** FLV's SoundFormat: what is not taken. */
const AUDIO_CODECS: Readonly<Record<number, string>> = {
  0: 'linear PCM',
  1: 'ADPCM',
  3: 'linear PCM',
  4: 'Nellymoser',
  5: 'Nellymoser',
  6: 'Nellymoser',
  7: 'G.711 A-law',
  8: 'G.711 mu-law',
  13: 'Opus',
  15: 'device-specific sound',
};
/** AAC, MP3, MP3 at 8 kHz, Speex. */
const TAKEN_AUDIO: ReadonlySet<number> = new Set([AAC, 2, 14, 11]);
const EX_AUDIO_HEADER = 9;

const FOURCC: Readonly<Record<string, string>> = {
  avc1: 'H.264 as enhanced RTMP has it (avc1)',
  hvc1: 'HEVC',
  av01: 'AV1',
  vp08: 'VP8',
  vp09: 'VP9',
  vvc1: 'VVC',
  Opus: 'Opus',
  fLaC: 'FLAC',
  'ac-3': 'AC-3',
  'ec-3': 'E-AC-3',
  '.mp3': 'MP3 as enhanced RTMP has it',
  mp4a: 'AAC as enhanced RTMP has it',
};

/** A video message's body (FLV E.4.3.1: frame type and codec; AVC packet type and composition time). */
export function judgeVideo(body: Buffer): MediaVerdict {
  const [first] = body;
  if (first === undefined) return 'skip';
  // Enhanced RTMP: the highest bit says that a FourCC follows.
  if (first & 0x80) return refused(enhanced(body), 'video', SEND_VIDEO);
  const codec = first & 0x0f;
  const frameType = first >> 4;
  // Frame type 5 is a hint for players that seek.
  if (frameType === 5) return 'skip';
  if (codec !== AVC) return refused(VIDEO_CODECS[codec] ?? `video codec ${codec}`, 'video', SEND_VIDEO);
  return body.length >= 5 && (body[1] ?? 0) <= 2 ? 'take' : 'skip';
}

/** An audio message's body (FLV E.4.2.1). */
export function judgeAudio(body: Buffer): MediaVerdict {
  const [first] = body;
  if (first === undefined) return 'skip';
  const codec = first >> 4;
  if (codec === EX_AUDIO_HEADER) return refused(enhanced(body), 'audio', SEND_AUDIO);
  if (!TAKEN_AUDIO.has(codec)) {
    return refused(AUDIO_CODECS[codec] ?? `audio codec ${codec}`, 'audio', SEND_AUDIO);
  }
  return body.length >= 2 && (codec !== AAC || (body[1] ?? 0) <= 1) ? 'take' : 'skip';
}

/** The codec of an enhanced body: its FourCC is the first one known, as v2 may have a few bytes before it. */
function enhanced(body: Buffer): string | undefined {
  for (let at = 1; at <= 8 && at + 4 <= body.length; at++) {
    const name = FOURCC[body.toString('latin1', at, at + 4)];
    if (name !== undefined) return name;
  }
  return undefined;
}

function refused(codec: string | undefined, kind: string, instead: string): { refuse: string } {
  return { refuse: `${codec ?? `enhanced ${kind}`} in RTMP is not supported; ${instead}` };
}
