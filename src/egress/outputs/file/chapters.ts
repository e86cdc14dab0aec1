/** Markers of a recording as chapters of a file. Pure. */
import { PauseSeams } from '../../log/pauses.ts';
import type { SegmentLog } from '../../log/reader.ts';

export interface Chapter {
  /** From the file's beginning, ns. */
  startNs: number;
  endNs: number;
  title: string;
}

/** In MP4 the first chapter begins with the file, whatever it says. */
const OPENING = 'Start';

/** One a marker, up to the next one, and one before the first; a marker before the first frame counts as set there. */
export function chaptersOf({ events, chunks, gaps, endNs }: SegmentLog): Chapter[] {
  const seams = new PauseSeams(gaps);
  const startNs = chunks[0]?.startNs ?? 0;
  const last = chunks.at(-1);
  const lastNs = Math.min(endNs, last ? last.startNs + last.durationNs : startNs);
  const inFile = (atNs: number) => seams.closed(atNs) - seams.closed(startNs);
  const marks = events
    .filter(({ name, atNs }) => name === 'marker' && atNs <= lastNs)
    .map(({ atNs, data }) => ({ atNs: Math.max(0, inFile(atNs)), label: String(data?.label ?? '') }))
    .sort((a, b) => a.atNs - b.atNs);
  const titled = marks.map(({ atNs, label }, i) => ({
    atNs,
    title: label === '' ? `Marker ${i + 1}` : label,
  }));
  if ((titled[0]?.atNs ?? 0) > 0) titled.unshift({ atNs: 0, title: OPENING });
  return titled.map(({ atNs, title }, i) => ({
    startNs: atNs,
    endNs: Math.max(atNs, titled[i + 1]?.atNs ?? inFile(lastNs)),
    title,
  }));
}

/** A backslash is a slash: FFmpeg 5.1 takes one at a line's end for an escaped line break, whatever stands before it. */
function escaped(title: string): string {
  return title
    .replace(/[\r\n]+/g, ' ')
    .replaceAll('\\', '/')
    .replace(/[=;#]/g, (special) => `\\${special}`);
}

/** FFmpeg's metadata file (https://ffmpeg.org/ffmpeg-formats.html#Metadata-1). */
export function chapterMetadata(chapters: readonly Chapter[]): string {
  const ms = (ns: number) => Math.round(ns / 1e6);
  const entries = chapters.map(({ startNs, endNs, title }) =>
    [
      '[CHAPTER]',
      'TIMEBASE=1/1000',
      `START=${ms(startNs)}`,
      `END=${ms(endNs)}`,
      `title=${escaped(title)}`,
    ].join('\n'),
  );
  return [';FFMETADATA1', ...entries, ''].join('\n');
}
