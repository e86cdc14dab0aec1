/** AAC's configuration and MP3's frame header: rate and channels. */
import { BitReader } from '../../../media/bits.ts';

export interface SoundFormat {
  /** Hz; 0 when unknown. */
  sampleRate: number;
  /** 0 when unknown. */
  channels: number;
}

const AAC_RATES = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350,
];
const EXPLICIT_RATE = 15;
/** SBR and PS, signalled in front: the rate that is heard follows. */
const EXTENSIONS: readonly number[] = [5, 29];

/** `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1); undefined when it is cut short. */
export function readAacConfig(config: Uint8Array): SoundFormat | undefined {
  const bits = new BitReader(config);
  const rate = (): number => {
    const index = bits.read(4);
    return index === EXPLICIT_RATE ? bits.read(24) : (AAC_RATES[index] ?? 0);
  };
  let type = bits.read(5);
  if (type === 31) type = 32 + bits.read(6);
  let sampleRate = rate();
  const layout = bits.read(4);
  if (EXTENSIONS.includes(type)) sampleRate = rate();
  if (bits.exhausted) return undefined;
  return { sampleRate, channels: layout === 7 ? 8 : layout };
}

const MP3_RATES = [44_100, 48_000, 32_000];

/** An MPEG audio frame's header (ISO/IEC 11172-3, 2.4.1.3); undefined when it is none. */
export function readMp3Header(frame: Uint8Array): SoundFormat | undefined {
  const [sync = 0, second = 0, third = 0, fourth = 0] = frame;
  if (frame.length < 4 || sync !== 0xff || (second & 0xe0) !== 0xe0) return undefined;
  const version = (second >> 3) & 3; // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
  const rate = MP3_RATES[(third >> 2) & 3];
  if (version === 1 || rate === undefined) return undefined;
  const divisor = version === 3 ? 1 : version === 2 ? 2 : 4;
  return { sampleRate: rate / divisor, channels: fourth >> 6 === 3 ? 1 : 2 };
}
