/** What a broadcast of fragmented MP4 has published: its segments, and the parts of those that are near its end. */
import type { HlsStatus } from '../index.ts';
import type { PlaylistPart, PlaylistSegment } from '../playlist.ts';

export interface ListedPart {
  key: string;
  durationNs: number;
  independent: boolean;
  /** Of an earlier attempt's part, for its successor to store. */
  data?: Buffer;
}

interface Head {
  wallMs: number;
  discontinuity: boolean;
  initKey: string;
}

export interface ListedSegment extends Head {
  key: string;
  index: number;
  durationNs: number;
  bytes: number;
  parts?: ListedPart[] | undefined;
}

/** Parts are listed for this many target durations from the end (RFC 8216bis, 4.4.4.9), */
const LISTED_TARGETS = 3;
/** and can be loaded for this many: who has an older playlist still asks for them. */
export const KEPT_TARGETS = 6;

export class BroadcastList {
  readonly segments: ListedSegment[] = [];
  readonly #targetNs: number;
  /** Segments from here on may still have parts in their playlist. */
  #listedFrom = 0;
  #open: (Head & { parts: ListedPart[] }) | undefined;
  /** Not listed any more, and still to be taken away: with the end of their segment in the broadcast's length. */
  #old: { key: string; endNs: number }[] = [];
  #lengthNs = 0;
  #bytes = 0;
  #news = false;

  /** @param targetDuration s */
  constructor(targetDuration: number) {
    this.#targetNs = targetDuration * 1e9;
  }

  /** What an earlier attempt has published, and is so old that nobody asks for its parts. */
  restore(segments: readonly ListedSegment[]): void {
    this.segments.push(...segments);
    this.#lengthNs = this.#lengthFrom(0);
    this.#bytes = segments.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#listedFrom = segments.length;
    this.#news = true;
  }

  get status(): HlsStatus {
    const last = this.segments.at(-1);
    return {
      segments: this.segments.length,
      bytes: this.#bytes,
      durationNs: this.#lengthNs,
      startedMs: this.segments[0]?.wallMs,
      endedMs: last && last.wallMs + last.durationNs / 1e6,
    };
  }

  /** Whether there are segments since it was asked last. */
  takeNews(): boolean {
    const news = this.#news;
    this.#news = false;
    return news;
  }

  addPart(segment: Head, part: ListedPart): void {
    this.#open ??= { ...segment, parts: [] };
    this.#open.parts.push(part);
  }

  addSegment(segment: ListedSegment): void {
    const parts = this.#open?.parts;
    this.#open = undefined;
    this.segments.push({ ...segment, parts });
    this.#lengthNs += segment.durationNs;
    this.#bytes += segment.bytes;
    this.#news = true;
    this.#forget();
  }

  /** The parts of earlier attempts that the playlist shows, with their bytes. */
  partsToStore(): { key: string; data: Buffer }[] {
    const parts = this.segments.slice(this.#listedFrom).flatMap((segment) => segment.parts ?? []);
    return parts.flatMap(({ key, data }) => (data ? [{ key, data }] : []));
  }

  /** Keys of the parts that nobody asks for any more; each is told once. */
  oldParts(): string[] {
    const gone = (endNs: number) => this.#lengthNs - endNs > (KEPT_TARGETS - LISTED_TARGETS) * this.#targetNs;
    const keys = this.#old.filter(({ endNs }) => gone(endNs)).map(({ key }) => key);
    this.#old = this.#old.filter(({ endNs }) => !gone(endNs));
    return keys;
  }

  /** Keys of all parts there may be: the broadcast is over. */
  takeParts(): string[] {
    const listed = this.segments.flatMap((segment) => segment.parts ?? []);
    const keys = [...this.#old, ...listed, ...(this.#open?.parts ?? [])].map(({ key }) => key);
    this.#old = [];
    for (const segment of this.segments) segment.parts = undefined;
    return keys;
  }

  /** @param uri of a key, as the playlist refers to it. */
  entries(uri: (key: string) => string): PlaylistSegment[] {
    return this.segments.map(({ key, index, durationNs, parts, ...head }) => ({
      ...{ uri: uri(key), index, durationNs },
      ...entryOf({ ...head, parts }, uri),
    }));
  }

  open(uri: (key: string) => string): ReturnType<typeof entryOf> | undefined {
    return this.#open && entryOf(this.#open, uri);
  }

  #forget(): void {
    for (let endNs = this.#lengthNs - this.#lengthFrom(this.#listedFrom); ; this.#listedFrom++) {
      const segment = this.segments[this.#listedFrom];
      if (!segment) return;
      endNs += segment.durationNs;
      if (this.#lengthNs - endNs <= LISTED_TARGETS * this.#targetNs) return;
      for (const { key } of segment.parts ?? []) this.#old.push({ key, endNs: this.#lengthNs });
      segment.parts = undefined;
    }
  }

  #lengthFrom(index: number): number {
    return this.segments.slice(index).reduce((sum, { durationNs }) => sum + durationNs, 0);
  }
}

function entryOf(
  { wallMs, discontinuity, initKey, parts }: Head & { parts?: readonly ListedPart[] | undefined },
  uri: (key: string) => string,
): { wallMs: number; discontinuity: boolean; map: string; parts: PlaylistPart[] | undefined } {
  return {
    ...{ wallMs, discontinuity, map: uri(initKey) },
    parts: parts?.map(({ key, durationNs, independent }) => ({ uri: uri(key), durationNs, independent })),
  };
}
