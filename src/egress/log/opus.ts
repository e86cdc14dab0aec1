/** Opus packets (RFC 6716, 3.1). */

const SILK_SAMPLES = [480, 960, 1920, 2880];

/** Samples at 48 kHz a packet decodes to; undefined when it is not a valid packet. */
export function opusSamples(packet: Uint8Array): number | undefined {
  const toc = packet[0];
  if (toc === undefined) return undefined;
  const config = toc >> 3;
  let frame: number;
  if (config < 12) frame = SILK_SAMPLES[config & 3] ?? 960;
  else if (config < 16) frame = config & 1 ? 960 : 480;
  else frame = 120 << (config & 3);
  const code = toc & 3;
  const count = code === 0 ? 1 : code < 3 ? 2 : (packet[1] ?? 0) & 0x3f;
  const samples = frame * count;
  return samples > 0 && samples <= 5760 ? samples : undefined;
}

/** A packet of 20 ms of silence (CELT, fullband): the same bytes libopus sends for digital silence. */
export function opusSilence(channels: number): Uint8Array {
  return Uint8Array.of(channels === 2 ? 0xfc : 0xf8, 0xff, 0xfe);
}

/** Samples of {@link opusSilence}. */
export const OPUS_SILENCE_SAMPLES = 960;
