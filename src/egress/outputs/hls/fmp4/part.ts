/** Gathers the samples of one part and writes them as a fragment. Pure. */
import { TS_CLOCK } from '../../../log/ts-packets.ts';
import type { TrackConfigs } from '../../../../media/fmp4/config.ts';
import { fragment } from '../../../../media/fmp4/fragment.ts';
import type { Sample, TrackRun } from '../../../../media/fmp4/fragment.ts';
import { AUDIO_TRACK, VIDEO_TRACK } from '../../../../media/fmp4/init.ts';
import type { Picture, Ticks, Unit } from './demuxer.ts';

/** Samples of an AAC frame. */
const AAC_FRAME = 1024;
/** Length of a picture whose neighbours do not tell, ticks. */
const DEFAULT_PICTURE: Ticks = TS_CLOCK / 30;
/** Times of sound this near to where the sound before ends are rounding, samples. */
const ROUNDING = 64;

/** What goes from one part into the next, between two parts. */
export interface PartState {
  /** Where the next frame of sound should begin, samples, and where sound ends, ticks. Undefined before any. */
  sound?: { next: number; end: Ticks } | undefined;
  /** Where pictures end (undefined before any), and how long the last one was, ticks. */
  picture: { end?: Ticks | undefined; lastDuration: Ticks };
}

export class PartBuilder {
  #video: Sample[] = [];
  #videoAt: Ticks | undefined;
  #audio: Sample[] = [];
  /** Samples of the track's own rate. */
  #audioAt: number | undefined;
  /** Where the next frame of sound should begin, samples. */
  #audioNext: number | undefined;
  /** How long it is, the next picture tells. */
  #waiting: Picture | undefined;
  #lastDuration: Ticks = DEFAULT_PICTURE;
  #audioEnd: Ticks = -Infinity;
  #videoEnd: Ticks = -Infinity;

  /** @param from goes on behind parts that another builder has made */
  constructor(from?: PartState) {
    if (!from) return;
    this.#audioNext = from.sound?.next;
    this.#audioEnd = from.sound?.end ?? -Infinity;
    this.#videoEnd = from.picture.end ?? -Infinity;
    this.#lastDuration = from.picture.lastDuration;
  }

  /** Undefined in the middle of a part. */
  get state(): PartState | undefined {
    if (this.#waiting || this.#video.length > 0 || this.#audio.length > 0) return undefined;
    const next = this.#audioNext;
    return {
      ...(next !== undefined && { sound: { next, end: this.#audioEnd } }),
      picture: {
        ...(this.#videoEnd > -Infinity && { end: this.#videoEnd }),
        lastDuration: this.#lastDuration,
      },
    };
  }

  /** End of what was added, ticks; of the picture where there is one, for segments are cut at pictures. */
  get end(): Ticks {
    const video = this.#waiting ? this.#waiting.dts + this.#lastDuration : this.#videoEnd;
    return this.pictureAge(this.#audioEnd) > TS_CLOCK / 5 ? Math.max(video, this.#audioEnd) : video;
  }

  /** Decoding time of the picture whose length is not known yet. */
  get waitingAt(): Ticks | undefined {
    return this.#waiting?.dts;
  }

  /** How long ago the last picture was, ticks; Infinity without one. */
  pictureAge(at: Ticks): Ticks {
    return at - (this.#waiting?.dts ?? this.#videoEnd);
  }

  add(unit: Unit, { audio }: TrackConfigs): void {
    if (unit.kind === 'video') {
      this.settle(unit.dts);
      this.#waiting = unit;
      return;
    }
    if (!audio) return;
    const at = Math.round((unit.dts * audio.sampleRate) / TS_CLOCK);
    const next = this.#audioNext;
    const start = next !== undefined && Math.abs(at - next) < ROUNDING ? next : at;
    if (this.#audio.length === 0) this.#audioAt = start;
    // A hole in the sound: the frame before it lasts until its end, for a run has no holes.
    else if (next !== undefined && start > next) lengthen(this.#audio.at(-1), start - next);
    for (const data of unit.frames) this.#audio.push({ data, duration: AAC_FRAME, offset: 0, key: true });
    this.#audioNext = start + unit.frames.length * AAC_FRAME;
    this.#audioEnd = (this.#audioNext * TS_CLOCK) / audio.sampleRate;
  }

  /** The picture that waits lasts until `next`; without it, as long as the one before it. Ticks. */
  settle(next: Ticks | undefined): void {
    const picture = this.#waiting;
    if (!picture || next === undefined) return;
    this.#waiting = undefined;
    const { dts, pts, data, key } = picture;
    const duration = Math.max(1, next - dts);
    this.#lastDuration = duration;
    if (this.#video.length === 0) this.#videoAt = dts;
    this.#video.push({ data, duration, offset: pts - dts, key });
    this.#videoEnd = dts + duration;
  }

  /** The part that begins at `from` (ticks), with what was added since the last one. */
  build(sequence: number, configs: TrackConfigs, from: Ticks): { data: Buffer; independent: boolean } {
    const { video, audio } = configs;
    const runs: TrackRun[] = [];
    if (video) {
      runs.push({
        id: VIDEO_TRACK,
        decodeTime: this.#videoAt ?? Math.max(from, this.#videoEnd),
        samples: this.#video,
      });
    }
    if (audio) {
      const empty = this.#audioNext ?? Math.round((from * audio.sampleRate) / TS_CLOCK);
      runs.push({ id: AUDIO_TRACK, decodeTime: this.#audioAt ?? empty, samples: this.#audio });
    }
    const independent = video ? this.#video.some(({ key }) => key) : true;
    this.#video = [];
    this.#videoAt = undefined;
    this.#audio = [];
    this.#audioAt = undefined;
    // A track without samples is left out: hls.js takes such a run for a fragment without any media, and gives up.
    const filled = runs.filter(({ samples }) => samples.length > 0);
    return { data: fragment(sequence, filled.length > 0 ? filled : runs), independent };
  }
}

function lengthen(sample: Sample | undefined, by: number): void {
  if (sample) sample.duration += by;
}
