/** The HLS output: chunks become segments in storage, playlists follow them. */
import type { Logger } from 'pino';
import type { Storage, StoredObject } from '../../../storage/types.ts';
import type { Chunk } from '../../log/types.ts';
import { OutputQueue } from '../queue.ts';
import { relativeUri, segmentKey } from './names.ts';
import type { SegmentSuffix } from './names.ts';
import { piecesBytes, piecesOf, readPieces } from './pieces.ts';
import { longestSegmentNs, renderPlaylist, targetDurationFor } from './playlist.ts';
import type { PlaylistSegment } from './playlist.ts';
import { Segmenter } from './segmenter.ts';
import type { Segment } from './segmenter.ts';
import { BroadcastStore } from './store.ts';

export interface HlsOptions {
  storage: Storage;
  /** Keys in the storage: segments are `<segmentPrefix>_00000.ts`. */
  segmentPrefix: string;
  playlistKey: string;
  /** Absent: no live playlist. */
  livePlaylistKey?: string;
  suffix: SegmentSuffix;
  /** Seconds, positive. */
  segmentDuration: number;
  /** Chunks of earlier attempts: what is stored of them is recognised, what is missing is stored. */
  earlier: readonly Chunk[];
  /** Nothing is to come but its end, which alone is published: it may have been before. Default: false. */
  over?: boolean;
  /** Asked before each write; what it throws ends the output. */
  assertCurrent?: () => Promise<void>;
  logger: Logger;
  /** A store that fails for this long without one success is given up, ms; default: never. The log keeps everything. */
  giveUpMs?: number;
  /** Called once the first playlist is stored, and after each further segment. */
  onUpdate?: (status: HlsStatus) => void;
  /** The output cannot go on: the request's fault (no such bucket), or `giveUpMs` of failure. */
  onFailure?: (error: Error) => void;
}

export interface HlsStatus {
  segments: number;
  bytes: number;
  durationNs: number;
  /** Wall clock of the first segment's start and the last one's end, ms; undefined before the first. */
  startedMs: number | undefined;
  endedMs: number | undefined;
}

export interface HlsResult extends HlsStatus {
  playlist: StoredObject;
  livePlaylist: StoredObject | undefined;
}

const SEGMENT_TYPE = 'video/mp2t';

/** A broadcast that follows the log; in MPEG-TS, or fragmented MP4. */
export interface BroadcastOutput {
  readonly status: HlsStatus;
  /** Keys of the segments that are stored, in order. */
  readonly segmentKeys: string[];
  /** Takes the log's next chunk; the work goes on in the background, in order. */
  push(chunk: Chunk): void;
  /** The egress is paused, or goes on: what comes in between is not shown, not even while it is still in the log. */
  hold?(paused: boolean): void;
  /** Stores the last segment and ends the playlists. @throws what made the output fail */
  finish(): Promise<HlsResult>;
  /** Stops at once; what is stored stays as it is. */
  close(): Promise<void>;
}

export class HlsOutput implements BroadcastOutput {
  readonly #options: HlsOptions;
  readonly #segmenter: Segmenter;
  readonly #targetDuration: number;
  readonly #store: BroadcastStore;
  readonly #queue: OutputQueue;
  #segments: PlaylistSegment[] = [];
  #bytes = 0;

  constructor(options: HlsOptions) {
    this.#options = options;
    this.#queue = new OutputQueue({ ...options, what: 'HLS output' });
    this.#segmenter = new Segmenter(options.segmentDuration);
    this.#targetDuration = targetDurationFor(options.segmentDuration);
    this.#store = new BroadcastStore(options, this.#queue.closed);
    if (options.earlier.length > 0) {
      void this.#queue.push(async () => {
        for (const chunk of options.earlier) await this.#take(chunk, true);
        // The attempt that follows is another stream in any case.
        await this.#keep(this.#segmenter.flush(), true);
        if (this.#segments.length > 0 && !options.over) await this.#publish(false);
      });
    }
  }

  /** Keys of the segments that are stored, in order. */
  get segmentKeys(): string[] {
    const { segmentPrefix, suffix } = this.#options;
    return this.#segments.map(({ index, wallMs }) => segmentKey(segmentPrefix, suffix, index, wallMs));
  }

  get status(): HlsStatus {
    const last = this.#segments.at(-1);
    return {
      segments: this.#segments.length,
      bytes: this.#bytes,
      durationNs: this.#segments.reduce((sum, segment) => sum + segment.durationNs, 0),
      startedMs: this.#segments[0]?.wallMs,
      endedMs: last && last.wallMs + last.durationNs / 1e6,
    };
  }

  /** Takes the log's next chunk; the work goes on in the background, in order. */
  push(chunk: Chunk): void {
    void this.#queue.push(async () => {
      if (await this.#take(chunk, false)) await this.#publish(false);
    });
  }

  /**
   * Stores the last segment and ends the playlists.
   * @throws what made the output fail
   */
  async finish(): Promise<HlsResult> {
    return this.#queue.end(async () => {
      await this.#keep(this.#segmenter.flush(), false);
      return { ...(await this.#publish(true)), ...this.status };
    });
  }

  /** Stops at once; what is stored stays as it is. */
  async close(): Promise<void> {
    await this.#queue.close();
  }

  /** True when a segment was stored. */
  async #take(chunk: Chunk, earlier: boolean): Promise<boolean> {
    const before = this.#segments.length;
    for (const piece of await piecesOf(chunk, longestSegmentNs(this.#targetDuration))) {
      await this.#keep(this.#segmenter.push(piece), earlier);
    }
    return this.#segments.length > before;
  }

  async #keep(segments: readonly Segment[], earlier: boolean): Promise<void> {
    const { segmentPrefix, suffix, playlistKey } = this.#options;
    for (const segment of segments) {
      const key = segmentKey(segmentPrefix, suffix, segment.index, segment.wallMs);
      const bytes = piecesBytes(segment.pieces);
      if (!earlier || (await this.#store.size(key)) !== bytes) {
        await this.#store.putMedia(key, await readPieces(segment.pieces), SEGMENT_TYPE);
      }
      const { index, durationNs, wallMs, discontinuity } = segment;
      const uri = relativeUri(playlistKey, key);
      this.#segments.push({ uri, index, durationNs, wallMs, discontinuity });
      this.#bytes += bytes;
    }
  }

  /** Playlists last: what they list is there. */
  async #publish(ended: boolean): Promise<Pick<HlsResult, 'playlist' | 'livePlaylist'>> {
    const { playlistKey, livePlaylistKey } = this.#options;
    const playlist = await this.#putPlaylist(playlistKey, this.#segments, 'event', ended);
    let livePlaylist: StoredObject | undefined;
    if (livePlaylistKey !== undefined) {
      livePlaylist = await this.#putPlaylist(livePlaylistKey, this.#rebase(livePlaylistKey), 'live', ended);
    }
    this.#options.onUpdate?.(this.status);
    return { playlist, livePlaylist };
  }

  /** The live playlist may be in another folder than the other one. */
  #rebase(livePlaylistKey: string): PlaylistSegment[] {
    const { segmentPrefix, suffix } = this.#options;
    return this.#segments.map((segment) => ({
      ...segment,
      uri: relativeUri(livePlaylistKey, segmentKey(segmentPrefix, suffix, segment.index, segment.wallMs)),
    }));
  }

  async #putPlaylist(
    key: string,
    segments: readonly PlaylistSegment[],
    type: 'event' | 'live',
    ended: boolean,
  ): Promise<StoredObject> {
    const text = renderPlaylist(segments, { type, ended, targetDuration: this.#targetDuration });
    return this.#store.putPlaylist(key, text);
  }
}
