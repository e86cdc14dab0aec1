/** Which pictures of a recording its storyboard shows, where on which sheet, and the WebVTT that says so. Pure. */
import { PauseSeams } from '../../log/pauses.ts';
import type { SegmentLog } from '../../log/reader.ts';
import type { Chunk } from '../../log/types.ts';

export interface StoryboardSettings {
  /** Seconds from one picture to the next, at least; more where keyframes are further apart. */
  interval: number;
  /** Of one picture, pixels; its height follows. */
  width: number;
  /** Pictures a sheet. */
  columns: number;
  rows: number;
}

export const STORYBOARD_DEFAULTS: StoryboardSettings = { interval: 10, width: 160, columns: 10, rows: 10 };

/** A longer recording gets them further apart. */
const MOST_PICTURES = 1000;
/** Of a storyboard: a sheet a picture, where the settings are such; one for what is rounded; the WebVTT. */
export const MOST_FILES = MOST_PICTURES + 2;

export interface StoryboardPicture {
  /** Its first picture is shown. */
  chunk: Chunk;
  /** In the file, seconds. */
  from: number;
  to: number;
}

export interface StoryboardPlan {
  pictures: StoryboardPicture[];
  /** Of one picture, pixels; even. */
  width: number;
  height: number;
  columns: number;
  /** Of a full sheet; a storyboard of one sheet has no more than it needs. */
  rows: number;
  sheets: number;
}

type PlannedLog = Pick<SegmentLog, 'chunks' | 'gaps' | 'endNs'>;

/** Undefined when the log has no picture. */
export function planStoryboard(log: PlannedLog, settings: StoryboardSettings): StoryboardPlan | undefined {
  const seams = new PauseSeams(log.gaps);
  const [first] = log.chunks;
  const last = log.chunks.at(-1);
  if (!first || !last) return undefined;
  /** Second in the file. */
  const at = (atNs: number): number => (seams.closed(atNs) - seams.closed(first.startNs)) / 1e9;
  const end = at(last.startNs + last.durationNs);
  const interval = Math.max(settings.interval, end / MOST_PICTURES / (1 - EARLY));
  const chosen: Chunk[] = [];
  let next = 0;
  for (const chunk of log.chunks) {
    if (chunk.keyFrames === 0 || at(chunk.startNs) < next - interval * EARLY) continue;
    chosen.push(chunk);
    next = at(chunk.startNs) + interval;
  }
  const size = pictureSize(log.chunks, settings.width);
  if (chosen.length === 0 || !size) return undefined;
  const pictures = chosen.map((chunk, i) => {
    const after = chosen[i + 1];
    // What is shown before the first picture, if anything, is told by the first picture.
    return { chunk, from: i === 0 ? 0 : at(chunk.startNs), to: after ? at(after.startNs) : end };
  });
  const rows = Math.min(settings.rows, Math.ceil(pictures.length / settings.columns));
  const columns = Math.min(settings.columns, pictures.length);
  return { pictures, ...size, columns, rows, sheets: Math.ceil(pictures.length / (columns * rows)) };
}

/** A keyframe that comes this little too early is not passed over for the next one, as a share of the interval. */
const EARLY = 0.1;

/** The largest picture of the log gives the shape, as it does in a file whose picture changed. */
function pictureSize(
  chunks: readonly Chunk[],
  wanted: number,
): Pick<StoryboardPlan, 'width' | 'height'> | undefined {
  const all = chunks.flatMap(({ video }) => video).filter(({ width, height }) => width > 0 && height > 0);
  const [one] = all;
  if (!one) return undefined;
  const largest = all.reduce((a, b) => (b.width * b.height > a.width * a.height ? b : a), one);
  const even = (pixels: number): number => Math.max(2, Math.round(pixels / 2) * 2);
  return { width: even(wanted), height: even((wanted * largest.height) / largest.width) };
}

/**
 * WebVTT whose cues are places on sheets, as players take them for thumbnails (W3C Media Fragments, 4.2.2).
 * @param sheetUri of a sheet by its number, from 0, as seen from the WebVTT file
 */
export function storyboardVtt(plan: StoryboardPlan, sheetUri: (sheet: number) => string): string {
  const { pictures, columns, rows, width, height } = plan;
  const cues = pictures.map(({ from, to }, i) => {
    const place = i % (columns * rows);
    const x = (place % columns) * width;
    const y = Math.floor(place / columns) * height;
    const uri = sheetUri(Math.floor(i / (columns * rows)));
    return `${clock(from)} --> ${clock(to)}\n${uri}#xywh=${x},${y},${width},${height}\n`;
  });
  return `WEBVTT\n\n${cues.join('\n')}`;
}

function clock(seconds: number): string {
  const millis = Math.max(0, Math.round(seconds * 1000));
  const part = (value: number, digits = 2): string => String(value).padStart(digits, '0');
  const minutes = Math.floor(millis / 60_000);
  return `${part(Math.floor(minutes / 60))}:${part(minutes % 60)}:${part(Math.floor(millis / 1000) % 60)}.${part(millis % 1000, 3)}`;
}
