/** H.264 parameter sets (ITU-T H.264, 7.3.2.1): what a decoder must be set up with. */
import { createHash } from 'node:crypto';
import { byte } from '../../media/bytes.ts';
import { NalType, parseSps } from '../../media/h264-sps.ts';
import type { SpsInfo } from '../../media/h264-sps.ts';
import type { VideoStreamInfo } from './types.ts';

/** NAL units of an Annex B byte stream, without start codes and trailing zeros, up to and including the first slice. */
export function* nalUnits(data: Uint8Array): Generator<Uint8Array> {
  let start = -1;
  for (let i = 0; i + 2 < data.length; i++) {
    if (data[i] !== 0 || data[i + 1] !== 0 || data[i + 2] !== 1) continue;
    if (start >= 0) yield trim(data.subarray(start, i));
    start = i + 3;
    i += 2;
    const type = byte(data, start) & 0x1f;
    // A slice is followed by nothing we look for: do not walk through the picture.
    if (start < data.length && (type === NalType.slice || type === NalType.idr)) {
      yield data.subarray(start);
      return;
    }
  }
  if (start >= 0 && start < data.length) yield trim(data.subarray(start));
}

function trim(nal: Uint8Array): Uint8Array {
  let end = nal.length;
  while (end > 0 && nal[end - 1] === 0) end--;
  return nal.subarray(0, end);
}

/** Describes the parameter sets in front of a picture; undefined without a readable SPS. */
export function h264Info(accessUnit: Uint8Array): VideoStreamInfo | undefined {
  const hash = createHash('sha256');
  const seen = new Set<string>();
  let sps: SpsInfo | undefined;
  for (const nal of nalUnits(accessUnit)) {
    const type = (nal[0] ?? 0) & 0x1f;
    if (type !== NalType.sps && type !== NalType.pps) continue;
    if (type === NalType.sps) sps ??= parseSps(nal);
    // A parser may repeat what the encoder already sent in band: the same set twice is no other stream.
    const key = Buffer.from(nal).toString('latin1');
    if (seen.has(key)) continue;
    seen.add(key);
    hash.update(nal);
  }
  if (!sps) return undefined;
  return { codec: 'h264', ...sps, parametersHash: hash.digest('hex').slice(0, 16) };
}
