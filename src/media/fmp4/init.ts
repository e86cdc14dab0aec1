/** Initialization segments: `ftyp` and `moov` without samples (ISO/IEC 14496-12; CMAF, ISO/IEC 23000-19, 7.3.1). Pure. */
import { box, fullBox, uint } from './boxes.ts';
import type { AudioConfig, TrackConfigs, VideoConfig } from './config.ts';

export const VIDEO_TRACK = 1;
export const AUDIO_TRACK = 2;
/** Of pictures: that of MPEG-TS, so that nothing is rounded. Sound counts samples. */
export const VIDEO_TIMESCALE = 90_000;

const MATRIX = Buffer.concat([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map((each) => uint(each, 4)));
const UNDETERMINED_LANGUAGE = 0x55c4;
const zeros = (bytes: number) => Buffer.alloc(bytes);

/** @throws RangeError without any track */
export function initSegment({ video, audio }: TrackConfigs): Buffer {
  const tracks = [video && videoTrack(video), audio && audioTrack(audio)].filter(
    (each) => each !== undefined,
  );
  if (tracks.length === 0) throw new RangeError('an initialization segment needs a track');
  const ids = [...(video ? [VIDEO_TRACK] : []), ...(audio ? [AUDIO_TRACK] : [])];
  const brands = ['iso6', 'cmfc', 'mp41'].map((brand) => Buffer.from(brand, 'latin1'));
  return Buffer.concat([
    box('ftyp', Buffer.from('iso6', 'latin1'), uint(0, 4), ...brands),
    box(
      'moov',
      fullBox(
        'mvhd',
        ...[0, 0, zeros(8), uint(1000, 4), zeros(4)],
        ...[uint(0x10000, 4), uint(0x100, 2), zeros(10), MATRIX, zeros(24), uint(AUDIO_TRACK + 1, 4)],
      ),
      ...tracks,
      // Durations, sizes and flags are each fragment's own.
      box('mvex', ...ids.map((id) => fullBox('trex', 0, 0, uint(id, 4), uint(1, 4), zeros(12)))),
    ),
  ]);
}

function videoTrack({ width, height, avcc }: VideoConfig): Buffer {
  const entry = box(
    'avc1',
    ...[zeros(6), uint(1, 2), zeros(16), uint(width, 2), uint(height, 2)],
    ...[
      uint(0x480000, 4),
      uint(0x480000, 4),
      zeros(4),
      uint(1, 2),
      zeros(32),
      uint(0x18, 2),
      uint(0xffff, 2),
    ],
    box('avcC', avcc),
  );
  return track({
    ...{ id: VIDEO_TRACK, timescale: VIDEO_TIMESCALE, handler: 'vide', name: 'video', entry },
    mediaHeader: fullBox('vmhd', 0, 1, zeros(8)),
    size: [width, height],
  });
}

function audioTrack({ sampleRate, channels, asc }: AudioConfig): Buffer {
  const entry = box(
    'mp4a',
    ...[
      zeros(6),
      uint(1, 2),
      zeros(8),
      uint(channels, 2),
      uint(16, 2),
      zeros(4),
      uint(sampleRate, 2),
      zeros(2),
    ],
    fullBox('esds', 0, 0, elementaryStream(asc)),
  );
  return track({
    ...{ id: AUDIO_TRACK, timescale: sampleRate, handler: 'soun', name: 'audio', entry },
    mediaHeader: fullBox('smhd', 0, 0, zeros(4)),
    size: [0, 0],
  });
}

/** ES_Descriptor of AAC (ISO/IEC 14496-1, 7.2.6.5). */
function elementaryStream(asc: Buffer): Buffer {
  const descriptor = (tag: number, ...content: Uint8Array[]) => {
    const bytes = Buffer.concat(content);
    return Buffer.concat([uint(tag, 1), uint(bytes.length, 1), bytes]);
  };
  // 0x40: MPEG-4 audio; 0x15: an audio stream.
  const decoder = descriptor(4, Buffer.from([0x40, 0x15]), zeros(11), descriptor(5, asc));
  return descriptor(3, uint(AUDIO_TRACK, 2), zeros(1), decoder, descriptor(6, uint(2, 1)));
}

interface TrackParts {
  id: number;
  timescale: number;
  handler: 'vide' | 'soun';
  name: string;
  /** Of `stsd`. */
  entry: Buffer;
  mediaHeader: Buffer;
  /** Pixels. */
  size: [width: number, height: number];
}

function track({ id, timescale, handler, name, entry, mediaHeader, size }: TrackParts): Buffer {
  const [width, height] = size;
  const volume = handler === 'soun' ? 0x100 : 0;
  const table = box(
    'stbl',
    fullBox('stsd', 0, 0, uint(1, 4), entry),
    ...['stts', 'stsc', 'stco'].map((type) => fullBox(type, 0, 0, zeros(4))),
    fullBox('stsz', 0, 0, zeros(8)),
  );
  const dataHere = box('dinf', fullBox('dref', 0, 0, uint(1, 4), fullBox('url ', 0, 1)));
  return box(
    'trak',
    // 3: enabled, in the movie.
    fullBox(
      'tkhd',
      ...[0, 3, zeros(8), uint(id, 4), zeros(16)],
      ...[zeros(4), uint(volume, 2), zeros(2), MATRIX, uint(width * 0x10000, 4), uint(height * 0x10000, 4)],
    ),
    box(
      'mdia',
      fullBox('mdhd', 0, 0, zeros(8), uint(timescale, 4), zeros(4), uint(UNDETERMINED_LANGUAGE, 2), zeros(2)),
      fullBox(
        'hdlr',
        ...[0, 0, zeros(4), Buffer.from(handler, 'latin1'), zeros(12), Buffer.from(`${name}\0`, 'latin1')],
      ),
      box('minf', mediaHeader, dataHere, table),
    ),
  );
}
