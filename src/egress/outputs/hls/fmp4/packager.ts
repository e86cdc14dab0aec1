/**
 * Cuts samples into parts and segments of fragmented MP4. Pure, and a function of the log alone: a later attempt that
 * goes through the same chunks finds the same segments and the same parts, byte for byte.
 *
 * Parts follow a grid in time that begins with their segment, so that each is about as long as the next whatever the
 * frame rate is, and end at the picture next to it; a sample is in the part that holds its decoding time.
 */
import { ticksToNs, TS_CLOCK } from '../../../log/ts-packets.ts';
import { sameConfigs } from '../../../../media/fmp4/config.ts';
import type { AudioConfig, TrackConfigs } from '../../../../media/fmp4/config.ts';
import { ChunkDemuxer } from './demuxer.ts';
import type { Ticks, Unit } from './demuxer.ts';
import { PartBuilder } from './part.ts';
import type { PartState } from './part.ts';

export interface Part {
  type: 'part';
  /** Counts all parts there are, from 0. */
  number: number;
  /** Of its segment. */
  segment: SegmentStart;
  durationNs: number;
  /** Holds a picture decoding can begin with; always without pictures. */
  independent: boolean;
  data: Buffer;
}

/** What is known of a segment when it begins. */
export interface SegmentStart {
  /** Media sequence number, from 0. */
  index: number;
  /** Egress clock, ns. */
  startNs: number;
  discontinuity: boolean;
  configs: TrackConfigs;
}

export interface FinishedSegment {
  type: 'segment';
  start: SegmentStart;
  durationNs: number;
  /** Its parts', joined. */
  data: Buffer;
  /** Where it ended because a chunk has begun: what another packager needs to go on with that chunk. */
  next: PackagerState | undefined;
}

export type Packaged = Part | FinishedSegment;

/** A chunk as it begins; the next one goes on from it when it is of the same run. */
export interface ChunkId {
  attempt: number;
  run: number;
}

/** A packager between two segments, before the first unit of a chunk. It holds nothing of the media. */
export interface PackagerState extends PartState {
  nextSegment: number;
  nextPart: number;
  /** The chunk that begins, and where the one before it did. */
  chunk: ChunkId;
  chunkStart: Ticks;
  configs: TrackConfigs;
}

export interface PackagerOptions {
  /** Wanted length of a segment, s. */
  segmentDuration: number;
  /** What no segment is longer than, s. */
  longestSegment: number;
  /** What no part is longer than, s; undefined: segments are not divided. */
  partDuration?: number;
}

/** A segment this near to the wanted length is not kept waiting for another chunk. */
const NEAR_ENOUGH = 0.9;
/**
 * Most of the part target that the grid is; what is left of it takes in the last picture before a keyframe that is not
 * on the grid. And the least of it that a part may be.
 */
const GRID = { most: 0.95, least: 0.86 };
/** Of the part target: no part but a segment's last one is shorter (RFC 8216bis, 4.4.4.9, wants 0.85). */
const LEAST_PART = 0.851;
/** More than this between two chunks is a hole, s. */
const HOLE = 0.25;
/** Samples wait this long at most for the first ones of the other track, s. */
const WAIT_FOR_TRACKS = 1;
/** Of sound that has not come yet: what our encoders make unless asked for something else. */
const DEFAULT_AUDIO: AudioConfig = { sampleRate: 48_000, channels: 2, asc: Buffer.from([0x11, 0x90]) };
/** Without a picture for this long, sound drives the grid, s. */
const PICTURE_STALLS = 0.2;

interface OpenSegment {
  start: SegmentStart;
  at: Ticks;
  /** Those that are closed. */
  parts: Buffer[];
}

export class Packager {
  readonly #wanted: Ticks;
  readonly #longest: Ticks;
  readonly #target: Ticks;
  readonly #grid: Ticks;
  #demuxer: ChunkDemuxer | undefined;
  #chunk: ChunkId | undefined;
  /** The next unit is the first of a chunk. */
  #atChunkStart = false;
  /** Start of the last two chunks: how long one is. */
  #chunkStart: Ticks | undefined;
  #chunkLength: Ticks = 0;
  /** Units that wait for the first keyframe. */
  #held: Unit[] | undefined = [];
  /** The chunk that has begun is of another run than the one before it. */
  #newRun = false;
  #configs: TrackConfigs = { video: undefined, audio: undefined };
  #segment: OpenSegment | undefined;
  #partAt: Ticks = 0;
  #builder = new PartBuilder();
  #nextSegment = 0;
  #nextPart = 0;
  /** The next segment begins another stream. */
  #breaks = false;
  #out: Packaged[] = [];

  /** @param from goes on where another one was; the chunk it tells of is to begin */
  constructor({ segmentDuration, longestSegment, partDuration }: PackagerOptions, from?: PackagerState) {
    this.#wanted = segmentDuration * TS_CLOCK;
    this.#longest = Math.floor(longestSegment * TS_CLOCK);
    this.#target = partDuration === undefined ? this.#longest : Math.floor(partDuration * TS_CLOCK);
    this.#grid = partDuration === undefined ? this.#longest : gridOf(this.#wanted, this.#target);
    if (!from) return;
    this.#held = undefined;
    this.#builder = new PartBuilder(from);
    this.#chunk = from.chunk;
    this.#chunkStart = from.chunkStart;
    this.#configs = from.configs;
    this.#nextSegment = from.nextSegment;
    this.#nextPart = from.nextPart;
  }

  /** Number of the next part. */
  get nextPart(): number {
    return this.#nextPart;
  }

  /** A chunk begins; the one before it has ended. @param nearNs egress clock it is near to, ns. */
  begin(chunk: ChunkId, nearNs: number): void {
    const before = this.#chunk;
    this.#newRun ||= before !== undefined && (before.attempt !== chunk.attempt || before.run !== chunk.run);
    this.#chunk = chunk;
    this.#atChunkStart = true;
    this.#demuxer = new ChunkDemuxer(nearNs);
  }

  /** The chunk's next bytes. */
  push(data: Buffer): Packaged[] {
    for (const unit of this.#demuxer?.push(data) ?? []) this.#unit(unit);
    return this.#taken();
  }

  /** The chunk has ended, and its first `bytes` bytes count. */
  end(bytes: number): Packaged[] {
    for (const unit of this.#demuxer?.end(bytes) ?? []) this.#unit(unit);
    this.#demuxer = undefined;
    return this.#taken();
  }

  /** Closes what is open: nothing of its stream follows. */
  flush(): Packaged[] {
    this.#release();
    this.#break();
    return this.#taken();
  }

  #taken(): Packaged[] {
    return this.#out.splice(0);
  }

  #unit(unit: Unit): void {
    if (this.#newRun) {
      this.#newRun = false;
      this.#release();
      this.#break();
      this.#held = [];
    }
    if (!this.#held) {
      this.#place(unit);
      return;
    }
    // Until both tracks are known, for then one initialization segment is enough.
    this.#held.push(unit);
    const streams = this.#demuxer?.streams;
    const known = (kind: Unit['kind']) =>
      this.#held?.some((each) => each.kind === kind && each.config) === true;
    const complete =
      streams !== undefined &&
      (known('video') || !streams.has('h264')) &&
      (known('audio') || !streams.has('aac'));
    const late = unit.dts - (this.#held[0]?.dts ?? unit.dts) > WAIT_FOR_TRACKS * TS_CLOCK;
    if (complete || late) this.#release();
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    const configs = { ...this.#configs };
    for (const unit of held.toReversed()) {
      if (unit.kind === 'video') configs.video = unit.config ?? configs.video;
      else configs.audio = unit.config;
    }
    if (this.#demuxer?.streams?.has('aac')) configs.audio ??= DEFAULT_AUDIO;
    this.#configs = configs;
    for (const unit of held) this.#place(unit);
  }

  #place(unit: Unit): void {
    const configs = { ...this.#configs, ...(unit.config && { [unit.kind]: unit.config }) };
    const changed = !sameConfigs(this.#configs, configs);
    // A picture nobody can decode: its keyframe is missing.
    if (unit.kind === 'video' && !configs.video) return;
    if (this.#segment && changed) this.#break(unit.dts);
    this.#configs = configs;
    if (this.#atChunkStart) this.#startChunk(unit);
    this.#segment ??= this.#open(unit.dts);
    const drives = unit.kind === 'video' || this.#builder.pictureAge(unit.dts) > PICTURE_STALLS * TS_CLOCK;
    if (drives) this.#advance(unit);
    this.#builder.add(unit, this.#configs);
  }

  /** A segment may end where a chunk does. */
  #startChunk(unit: Unit): void {
    this.#atChunkStart = false;
    const before = this.#chunkStart;
    if (before !== undefined) this.#chunkLength = unit.dts - before;
    this.#chunkStart = unit.dts;
    const segment = this.#segment;
    if (!segment) return;
    if (unit.dts - this.#builder.end > HOLE * TS_CLOCK) {
      this.#break();
      return;
    }
    const length = unit.dts - segment.at;
    if (length >= this.#wanted * NEAR_ENOUGH || length + this.#chunkLength > this.#longest) {
      this.#close(unit.dts, before);
    }
  }

  #open(at: Ticks): OpenSegment {
    this.#partAt = at;
    const start: SegmentStart = {
      index: this.#nextSegment++,
      startNs: ticksToNs(at),
      discontinuity: this.#breaks,
      configs: this.#configs,
    };
    this.#breaks = false;
    return { start, at, parts: [] };
  }

  /** Ends the parts that are over when this unit comes; where no keyframe comes in time, the segment too. */
  #advance(unit: Unit): void {
    while (this.#segment && unit.dts >= this.#partAt + this.#grid) {
      const at = this.#boundary(unit);
      this.#endPart(at, unit.kind === 'video' ? unit.dts : undefined);
      if (at + this.#target - this.#segment.at <= this.#longest) continue;
      // TARGETDURATION must hold.
      this.#endSegment(at);
      this.#segment = this.#open(at);
    }
  }

  /**
   * Where the part that is over ends: at a picture, for players go by where samples really are; on the grid where
   * pictures are too far apart for parts of nearly one length.
   */
  #boundary({ kind, dts }: Pick<Unit, 'kind' | 'dts'>): Ticks {
    const lasts = (at: Ticks) => at - this.#partAt;
    if (kind === 'video' || !this.#configs.video) {
      if (lasts(dts) <= this.#target) return dts;
      const waiting = this.#builder.waitingAt;
      if (waiting !== undefined && lasts(waiting) >= this.#target * LEAST_PART) return waiting;
    }
    return this.#partAt + this.#grid;
  }

  /** @param next where the picture that waits ends, if that is known. */
  #endPart(at: Ticks, next: Ticks | undefined): void {
    if ((this.#builder.waitingAt ?? -Infinity) < at) this.#builder.settle(next);
    this.#part(at);
  }

  /** Ends the segment at `at`, where the next one's first sample is. @param before where the chunk before it began */
  #close(at: Ticks, before?: Ticks): void {
    while (at - this.#partAt > this.#target) this.#endPart(this.#boundary({ kind: 'video', dts: at }), at);
    this.#builder.settle(at);
    if (at > this.#partAt) this.#part(at);
    this.#endSegment(at, before);
  }

  /** What follows is another stream. @param at where it begins, if it is known that nothing is missing. */
  #break(at?: Ticks): void {
    if (this.#segment) this.#close(at ?? Math.max(this.#builder.end, this.#partAt));
    this.#breaks = this.#nextSegment > 0;
    this.#builder = new PartBuilder();
  }

  #part(end: Ticks): void {
    const segment = this.#segment;
    if (!segment) return;
    const { data, independent } = this.#builder.build(this.#nextPart + 1, this.#configs, this.#partAt);
    const durationNs = spanNs(this.#partAt, end);
    this.#out.push({
      type: 'part',
      number: this.#nextPart++,
      segment: segment.start,
      durationNs,
      independent,
      data,
    });
    segment.parts.push(data);
    this.#partAt = end;
  }

  #endSegment(at: Ticks, before?: Ticks): void {
    const segment = this.#segment;
    if (!segment) return;
    this.#segment = undefined;
    if (segment.parts.length === 0) {
      this.#nextSegment--;
      return;
    }
    const durationNs = spanNs(segment.at, at);
    const data = Buffer.concat(segment.parts);
    const next = before === undefined ? undefined : this.#state(before);
    this.#out.push({ type: 'segment', start: segment.start, durationNs, data, next });
  }

  #state(chunkStart: Ticks): PackagerState | undefined {
    const [parts, chunk] = [this.#builder.state, this.#chunk];
    if (!parts || !chunk) return undefined;
    const { attempt, run } = chunk;
    return {
      ...{ ...parts, chunk: { attempt, run }, chunkStart, configs: this.#configs },
      ...{ nextSegment: this.#nextSegment, nextPart: this.#nextPart },
    };
  }
}

/** Distance of parts: such that a segment of the wanted length has a whole number of them, where that can be. */
function gridOf(wanted: Ticks, target: Ticks): Ticks {
  const even = Math.floor(wanted / Math.ceil(wanted / (target * GRID.most)));
  return even >= target * GRID.least ? even : Math.floor(target * 0.9);
}

function spanNs(from: Ticks, to: Ticks): number {
  return ticksToNs(to) - ticksToNs(from);
}
