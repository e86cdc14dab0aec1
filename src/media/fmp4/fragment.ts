/** Movie fragments: `moof` and `mdat` (ISO/IEC 14496-12, 8.8). Pure. */
import { box, fullBox, uint } from './boxes.ts';

export interface Sample {
  data: Uint8Array;
  /** Ticks of the track's timescale. */
  duration: number;
  /** Presentation less decoding time, ticks. */
  offset: number;
  /** Decoding can begin here. */
  key: boolean;
}

export interface TrackRun {
  id: number;
  /** Decoding time of its first sample, ticks; of what would be next where there is none. */
  decodeTime: number;
  /** May be empty: the track is silent for the length of this fragment. */
  samples: readonly Sample[];
}

/** tfhd: offsets count from the `moof`. */
const BASE_IS_MOOF = 0x020000;
/** trun: data offset; each sample's duration, size, flags and composition offset. */
const RUN_FLAGS = 0x000f01;
/** Depends on no other sample; the contrary, and no place to begin. */
const KEY_FLAGS = 0x02000000;
const DEPENDENT_FLAGS = 0x01010000;

/** @param sequence number of the fragment, from 1 and rising. */
export function fragment(sequence: number, runs: readonly TrackRun[]): Buffer {
  // Offsets into `mdat` are known once the length of `moof` is; they do not change it.
  const size = moof(sequence, runs, 0).length;
  const data = runs.flatMap(({ samples }) => samples.map((sample) => sample.data));
  return Buffer.concat([moof(sequence, runs, size + 8), box('mdat', ...data)]);
}

function moof(sequence: number, runs: readonly TrackRun[], dataAt: number): Buffer {
  let offset = dataAt;
  const tracks = runs.map((run) => {
    const header = [
      fullBox('tfhd', 0, BASE_IS_MOOF, uint(run.id, 4)),
      fullBox('tfdt', 1, 0, uint(run.decodeTime, 8)),
    ];
    if (run.samples.length === 0) return box('traf', ...header);
    const at = offset;
    offset += run.samples.reduce((sum, { data }) => sum + data.length, 0);
    return box('traf', ...header, sampleTable(run.samples, at));
  });
  return box('moof', fullBox('mfhd', 0, 0, uint(sequence, 4)), ...tracks);
}

function sampleTable(samples: readonly Sample[], dataOffset: number): Buffer {
  const rows = Buffer.alloc(samples.length * 16);
  for (const [i, { data, duration, offset, key }] of samples.entries()) {
    rows.writeUInt32BE(duration, i * 16);
    rows.writeUInt32BE(data.length, i * 16 + 4);
    rows.writeUInt32BE(key ? KEY_FLAGS : DEPENDENT_FLAGS, i * 16 + 8);
    rows.writeInt32BE(offset, i * 16 + 12);
  }
  return fullBox('trun', 1, RUN_FLAGS, uint(samples.length, 4), uint(dataOffset, 4), rows);
}
