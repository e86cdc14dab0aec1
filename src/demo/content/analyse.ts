/**
 * Reads a recording back: looks at the picture and listens to the sound.
 *
 * How exact the A/V offset is: a beep's onset is where the amplitude of its pitch, measured every 2 ms in a
 * symmetric 25 ms window, passes half of the beep's level, interpolated, less half of the beep's ramp; with
 * other participants sounding at the same time that is right within 3 ms (unit-tested). A flash's onset is
 * the time of the first lit frame, so it is as exact as the file's frames are dense; `avOffsetByCounter`
 * takes the frame counters around each second instead and does not depend on a single frame.
 */
import { BEEP_RAMP_SECONDS, FLASH_SECONDS, humPitch, PITCHES } from '../../../pipelines/publisher/signal.ts';
import { decode } from './decode.ts';
import { ffprobe, type ProbeResult } from './ffprobe.ts';
import { Loudness } from './loudness.ts';
import { MotionDetector, stretches } from './motion.ts';
import { longestGap, reportTile } from './participant.ts';
import { AudioReader } from './read-audio.ts';
import { lookingSize, VideoReader } from './read-video.ts';
import { readTile } from './tile.ts';
import { findBursts, ToneTracker } from './tone.ts';
import type { StreamReader } from './decode.ts';
import type {
  AnalyseOptions,
  AudioReport,
  ContentReport,
  Rect,
  TileFrame,
  TileSpec,
  VideoReport,
} from './types.ts';

export { fitPicture } from './tile.ts';
export type * from './types.ts';

const BEEP_WINDOW = 0.025;
const BEEP_HOP = 0.002;
/** A tenth of what is published. */
const BEEP_LEAST = 0.02;
const BEEP_SHORTEST = 0.04;
const BEEP_LONGEST = FLASH_SECONDS * 2;
const HUM_WINDOW = 0.08;
const HUM_HOP = 0.02;

/** Uncertainty of a beep's onset. */
const EDGE_SECONDS = 0.005;

/** One reading of a tile before the frame's time is known: one for each of its regions. */
type Reading = Omit<TileFrame, 'time'>[];

interface Heard {
  report: AudioReport;
  /** By tile: onsets and hum, seconds as in the file. */
  tiles: { beeps: number[]; hum: { time: number; amplitude: number }[] }[];
}

interface Seen {
  report: VideoReport;
  tiles: TileFrame[][];
  /** When the last frame ends. */
  end: number;
}

/** A stream while it is decoded, and what came of it. */
interface Watched<Result> {
  reader: StreamReader;
  end: () => Result | null;
}

/** @throws Error when the file cannot be read at all; what is wrong in it is in the report */
export async function analyse(input: string, options: AnalyseOptions): Promise<ContentReport> {
  const file = await ffprobe(input);
  const start = file.startTime ?? 0;
  const looking = look(file, start, options);
  const listening = listen(file, start, options);
  const decodeErrors = await decode(
    input,
    [looking, listening].flatMap((each) => each?.reader ?? []),
  );
  const seen = looking?.end();
  const heard = listening?.end();
  // A container may say less than it holds, and some say nothing.
  const end = Math.max(file.duration ?? 0, seen?.end ?? 0, heard?.report.lastTime ?? 0);
  return {
    file,
    duration: file.duration ?? end,
    video: seen?.report ?? null,
    audio: heard?.report ?? null,
    tiles: options.tiles.map((spec, index) => {
      const { from = 0, to = end } = spec;
      const within = ({ time }: { time: number }) => time >= from && time < to;
      return reportTile(spec, {
        frames: seen?.tiles[index]?.filter(within) ?? [],
        // A beep that begins with the file may be measured a hair before it.
        beeps: heard?.tiles[index]?.beeps.filter((time) => within({ time: time + EDGE_SECONDS })) ?? [],
        hum: heard?.tiles[index]?.hum.filter(within) ?? [],
        from,
        to,
      });
    }),
    decodeErrors,
  };
}

function look(file: ProbeResult, start: number, options: AnalyseOptions): Watched<Seen> | null {
  const stream = file.video;
  if (!stream?.width || !stream.height) return null;
  const { codec, profile, width, height } = stream;
  const size = lookingSize(width, height);
  const regions = options.tiles.map((tile) => regionsOf(tile, width, height));
  const [across, down] = [size.width / width, size.height / height];
  const shrink = (at: Rect): Rect => ({
    x: at.x * across,
    y: at.y * down,
    width: at.width * across,
    height: at.height * down,
  });
  // A place is read once in a picture, however many tiles look at it.
  const places = new Map<string, { place: Rect; tiles: [tile: number, region: number][] }>();
  regions.forEach((list, tile) =>
    list.forEach(({ region }, index) => {
      const place = shrink(region);
      const key = [place.x, place.y, place.width, place.height].join();
      const known = places.get(key) ?? { place, tiles: [] };
      known.tiles.push([tile, index]);
      places.set(key, known);
    }),
  );
  const motion = new MotionDetector();
  const moved: boolean[] = [];
  const black: boolean[] = [];
  const readings: Reading[][] = options.tiles.map(() => []);
  const reader = new VideoReader(size, (picture) => {
    const result = motion.look(picture);
    moved.push(result.moved);
    black.push(result.black);
    const read: Reading[] = regions.map(() => []);
    for (const { place, tiles } of places.values()) {
      const frame = readTile(picture, place);
      for (const [tile, index] of tiles) read[tile]![index] = frame;
    }
    read.forEach((reading, tile) => readings[tile]!.push(reading));
  });
  const end = (): Seen | null => {
    const raw = reader.times;
    if (raw.length !== moved.length) throw new Error(`${moved.length} pictures but ${raw.length} times`);
    if (raw.length === 0) return null;
    const times = raw.map((time) => time - start);
    const tiles = readings.map((list, tile) =>
      list.map((reading, i): TileFrame => {
        const time = times[i]!;
        const current = regions[tile]!.findLastIndex(({ from }) => time >= from);
        return { time, ...reading[Math.max(0, current)]! };
      }),
    );
    const gap = longestGap(times);
    const first = times[0]!;
    const last = times[times.length - 1]!;
    const frameLength = times.length > 1 ? (last - first) / (times.length - 1) : 0;
    const over = last + frameLength;
    // A picture that did not move stood still from the one before it on.
    const still = moved.map((now, i) => !now || moved[i + 1] === false);
    return {
      report: {
        codec,
        profile,
        width,
        height,
        frames: times.length,
        fps: frameLength ? 1 / frameLength : 0,
        firstTime: first,
        lastTime: last,
        maxGapMs: gap.length * 1000,
        maxGapAt: gap.at ?? first,
        monotonic: times.every((time, i) => i === 0 || time > times[i - 1]!),
        black: stretches(times, black, over, (options.blackMs ?? 100) / 1000),
        frozen: stretches(times, still, over, (options.frozenMs ?? 200) / 1000),
      },
      tiles,
      end: over,
    };
  };
  return { reader, end };
}

function regionsOf({ region }: TileSpec, width: number, height: number): { from: number; region: Rect }[] {
  if (!region) return [{ from: 0, region: { x: 0, y: 0, width, height } }];
  return Array.isArray(region) ? region : [{ from: 0, region }];
}

function listen(file: ProbeResult, start: number, options: AnalyseOptions): Watched<Heard> | null {
  const stream = file.audio;
  if (!stream) return null;
  const rate = stream.sampleRate ?? 48_000;
  const loudness = new Loudness(rate);
  const pitches = options.tiles.map(({ pitch, color }) => pitch ?? PITCHES[color]);
  // Listened for once each, however many tiles are of that pitch.
  const tones = new Map(
    pitches.map((pitch) => [
      pitch,
      {
        beep: new ToneTracker(pitch, rate, BEEP_WINDOW, BEEP_HOP),
        hum: new ToneTracker(humPitch(pitch), rate, HUM_WINDOW, HUM_HOP),
      },
    ]),
  );
  const reader = new AudioReader(rate, options.channel, (samples) => {
    loudness.push(samples);
    for (const { beep, hum } of tones.values()) {
      beep.push(samples);
      hum.push(samples);
    }
  });
  const end = (): Heard | null => {
    const timeline = reader.timeline();
    if (!timeline) return null;
    const first = timeline.firstTime - start;
    const heard = new Map(
      [...tones].map(([pitch, { beep, hum }]) => [
        pitch,
        {
          beeps: beepOnsets(beep).map((onset) => first + onset),
          hum: hum.amplitudes.map((amplitude, i) => ({ time: first + hum.timeOf(i), amplitude })),
        },
      ]),
    );
    return {
      report: {
        codec: stream.codec,
        profile: stream.profile,
        sampleRate: rate,
        channels: stream.channels ?? 0,
        firstTime: first,
        lastTime: timeline.lastTime - start,
        gaps: timeline.gaps.map(({ from, to }) => ({ from: from - start, to: to - start })),
        monotonic: timeline.monotonic,
        silence: loudness.silence(first, (options.silenceMs ?? 200) / 1000),
        peak: loudness.peak,
      },
      tiles: pitches.map((pitch) => heard.get(pitch)!),
    };
  };
  return { reader, end };
}

/** When each beep began, seconds since the first sample. */
export function beepOnsets(tone: ToneTracker): number[] {
  return findBursts(tone, BEEP_LEAST, BEEP_SHORTEST)
    .filter(({ start, end }) => end - start <= BEEP_LONGEST)
    .map(({ start }) => start - BEEP_RAMP_SECONDS / 2);
}

/** A tracker with the settings beeps are listened for. */
export function beepTracker(pitch: number, rate: number): ToneTracker {
  return new ToneTracker(pitch, rate, BEEP_WINDOW, BEEP_HOP);
}
