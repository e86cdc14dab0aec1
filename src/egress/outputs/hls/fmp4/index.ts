/** HLS of fragmented MP4: the log's chunks become CMAF segments; of low latency, parts of the chunk that still grows. */
import type { StoredObject } from '../../../../storage/types.ts';
import { initSegment } from '../../../../media/fmp4/init.ts';
import type { TrackConfigs } from '../../../../media/fmp4/config.ts';
import type { Chunk } from '../../../log/types.ts';
import { readChunk } from '../../join.ts';
import { OutputQueue } from '../../queue.ts';
import type { BroadcastOutput, HlsOptions, HlsResult, HlsStatus } from '../index.ts';
import { initKey, partKey, relativeUri, segmentKey } from '../names.ts';
import { longestSegmentNs, renderPlaylist, targetDurationFor } from '../playlist.ts';
import { BroadcastStore } from '../store.ts';
import { BroadcastList, KEPT_TARGETS } from './list.ts';
import { GrowingChunk } from './growing.ts';
import { Packager } from './packager.ts';
import type { FinishedSegment, Packaged, PackagerState, Part } from './packager.ts';
import { SegmentIndex } from './segment-index.ts';
import type { ChunkPlace, SegmentIndexOptions, StoredInit } from './segment-index.ts';

export interface FragmentedOptions extends HlsOptions {
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  /** Longest part, s: segments are made of such; undefined: they are not divided. */
  partDuration?: number | undefined;
  /** Publishes parts as they come: LL-HLS. Needs `partDuration`. */
  live?:
    | {
        attempt: number;
        /** Of the attempt: where its chunks grow. */
        folder: string;
        /** The broadcast began while the egress ran: what grows may have begun before it. */
        added?: boolean;
      }
    | undefined;
  /** Where its segments are told of, for an attempt that takes over; absent: that packages the whole log again. */
  index?: SegmentIndexOptions;
}

/** How often the growing chunk is looked at, ms: a picture's length. */
const LOOK_MS = 30;
/** Parts an attempt that was lost may not have taken away yet. */
const OLD_PARTS = 50;
const MEDIA_TYPE = 'video/mp4';

export class FragmentedOutput implements BroadcastOutput {
  readonly #options: FragmentedOptions;
  readonly #targetDuration: number;
  #packager: Packager;
  readonly #index: SegmentIndex | undefined;
  readonly #growing: GrowingChunk | undefined;
  readonly #queue: OutputQueue;
  readonly #store: BroadcastStore;
  readonly #list: BroadcastList;
  /** Initialization segments that are stored. */
  readonly #inits: StoredInit[] = [];
  /** The chunk that is packaged, and what was before it. */
  #place: ChunkPlace = { attempt: 0, run: 0, number: 0, chunksBefore: 0, bytesBefore: 0 };
  #timer: NodeJS.Timeout | undefined;
  /** What grows is not read before the log has a chunk that begins at or behind this, egress clock, ns. */
  #readsFromNs = -Infinity;

  constructor(options: FragmentedOptions) {
    this.#options = options;
    this.#queue = new OutputQueue({ ...options, what: 'HLS output' });
    const { live, earlier, over, index } = options;
    this.#targetDuration = targetDurationFor(options.segmentDuration);
    this.#packager = this.#newPackager();
    this.#index = index && new SegmentIndex(index, options.logger);
    this.#store = new BroadcastStore(options, this.#queue.closed);
    this.#list = new BroadcastList(this.#targetDuration);
    this.#growing = live && new GrowingChunk(live.folder);
    if (live?.added && earlier.length === 0) this.#readsFromNs = -Number.MAX_VALUE;
    if (earlier.length > 0) void this.#queue.push(() => this.#takeUp(earlier));
    if (live && !over) this.#look();
  }

  get status(): HlsStatus {
    return this.#list.status;
  }

  get segmentKeys(): string[] {
    return this.#list.segments.map(({ key }) => key);
  }

  push(chunk: Chunk): void {
    void this.#queue.push(async () => {
      const before = this.#list.segments.length;
      await this.#take(chunk);
      if (this.#list.segments.length > before) await this.#publish(false);
    });
  }

  hold(paused: boolean): void {
    if (paused) this.#readsFromNs = Infinity;
    else if (this.#readsFromNs === Infinity) {
      this.#readsFromNs = (Date.now() - this.#options.epochMs) * 1e6;
    }
  }

  async finish(): Promise<HlsResult> {
    clearTimeout(this.#timer);
    return this.#queue.end(async () => {
      await this.#growing?.close();
      await this.#handle(this.#packager.flush());
      const result = { ...(await this.#publish(true)), ...this.status };
      for (const key of this.#list.takeParts()) await this.#store.discard(key);
      return result;
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#queue.close();
    await this.#growing?.close();
  }

  #newPackager(from?: PackagerState): Packager {
    const { segmentDuration, partDuration } = this.#options;
    return new Packager(
      {
        segmentDuration,
        longestSegment: longestSegmentNs(this.#targetDuration) / 1e9,
        ...(partDuration !== undefined && { partDuration }),
      },
      from,
    );
  }

  #begin({ attempt, run, number }: Pick<Chunk, 'attempt' | 'run' | 'number'>, nearNs: number): void {
    this.#place = { ...this.#place, attempt, run, number };
    this.#packager.begin({ attempt, run }, nearNs);
  }

  /** The log has the chunk. */
  #passed({ bytes }: Chunk): void {
    this.#place.chunksBefore += 1;
    this.#place.bytesBefore += bytes;
  }

  /** Leaves out what is stored and old: what players may still ask for the parts of is packaged again. */
  async #resume(earlier: readonly Chunk[]): Promise<readonly Chunk[]> {
    const last = earlier.at(-1);
    if (!last) return earlier;
    const { partDuration = 0 } = this.#options;
    const near = (KEPT_TARGETS + 1) * this.#targetDuration + OLD_PARTS * partDuration;
    const resumed = await this.#index?.resume(earlier, last.startNs - near * 1e9);
    if (!resumed) return earlier;
    this.#packager = this.#newPackager(resumed.state);
    this.#list.restore(resumed.segments);
    this.#inits.push(...resumed.inits);
    for (const chunk of earlier.slice(0, resumed.position)) this.#passed(chunk);
    return earlier.slice(resumed.position);
  }

  /** What earlier attempts have left is packaged again: it comes out the same, and what is stored of it stays. */
  async #takeUp(earlier: readonly Chunk[]): Promise<void> {
    for (const chunk of await this.#resume(earlier)) {
      this.#begin(chunk, chunk.startNs);
      await this.#handle(this.#packager.push(await readChunk(chunk)), true);
      await this.#handle(this.#packager.end(chunk.bytes), true);
      this.#passed(chunk);
    }
    // The attempt that follows is another stream in any case.
    await this.#handle(this.#packager.flush(), true);
    const { live, over } = this.#options;
    for (const { key, data } of this.#list.partsToStore()) {
      if (live && !over) await this.#store.putMedia(key, data, MEDIA_TYPE, true);
    }
    // What is older still, the earlier attempt has taken away itself, but for the last moment.
    for (const key of this.#list.oldParts().slice(-OLD_PARTS)) await this.#store.discard(key);
    if (this.#list.segments.length > 0 && !over) await this.#publish(false);
  }

  /** A chunk whose line is in the log: what was read of it while it grew is only ended. */
  async #take(chunk: Chunk): Promise<void> {
    const growing = this.#growing;
    const { current } = growing ?? {};
    const data = await readChunk(chunk);
    if (growing && current?.run === chunk.run && current.number === chunk.number) {
      await this.#handle(this.#packager.push(await growing.rest(data)));
    } else {
      // The log has left out the one that was read.
      if (current) await this.#handle(this.#packager.end(0));
      this.#begin(chunk, chunk.startNs);
      await this.#handle(this.#packager.push(data));
    }
    await this.#handle(this.#packager.end(chunk.bytes));
    this.#passed(chunk);
    await growing?.passed(chunk);
    // Of a chunk in which the egress goes on, the log alone knows what counts.
    if (chunk.startNs >= this.#readsFromNs) this.#readsFromNs = -Infinity;
  }

  /** Reads on where the pipeline writes, again and again. */
  #look(): void {
    this.#timer = setTimeout(() => {
      void this.#queue
        .push(() => this.#readOn())
        .then(() => {
          if (!this.#queue.over) this.#look();
        });
    }, LOOK_MS);
  }

  async #readOn(): Promise<void> {
    const { live, epochMs } = this.#options;
    const growing = this.#growing;
    if (!growing || !live || this.#readsFromNs > -Infinity) return;
    if ((await growing.look()) && growing.current) {
      const { run, number } = growing.current;
      this.#begin({ attempt: live.attempt, run, number }, (Date.now() - epochMs) * 1e6);
    }
    const packaged = this.#packager.push(await growing.read());
    if (packaged.length === 0) return;
    await this.#handle(packaged);
    // hls.js takes a playlist of parts alone for an empty one, and may give up.
    if (this.#list.segments.length > 0) await this.#publish(false);
  }

  async #handle(packaged: readonly Packaged[], earlier = false): Promise<void> {
    for (const each of packaged) {
      if (each.type === 'part') await this.#keepPart(each, earlier);
      else await this.#keepSegment(each, earlier);
    }
    if (!earlier) for (const key of this.#list.oldParts()) await this.#store.discard(key);
  }

  async #keepPart(part: Part, earlier: boolean): Promise<void> {
    if (!this.#options.live) return;
    const { segmentPrefix } = this.#options;
    const { startNs, discontinuity, configs } = part.segment;
    const key = partKey(segmentPrefix, part.number);
    const { key: initKey } = await this.#keepInit(configs, earlier);
    if (!earlier) await this.#store.putFleeting(key, part.data, MEDIA_TYPE);
    const { durationNs, independent } = part;
    this.#list.addPart(
      { wallMs: this.#wallMs(startNs), discontinuity, initKey },
      { key, durationNs, independent, ...(earlier && { data: part.data }) },
    );
  }

  async #keepSegment({ start, durationNs, data, next }: FinishedSegment, earlier: boolean): Promise<void> {
    const { segmentPrefix, suffix } = this.#options;
    const wallMs = this.#wallMs(start.startNs);
    const key = segmentKey(segmentPrefix, suffix, start.index, wallMs, '.m4s');
    const init = await this.#keepInit(start.configs, earlier);
    await this.#store.putMedia(key, data, MEDIA_TYPE, earlier);
    const { index, discontinuity } = start;
    const initKey = init.key;
    const listed = { key, index, durationNs, wallMs, discontinuity, initKey, bytes: data.length };
    this.#list.addSegment(listed);
    await this.#index?.add(listed, init, next && { place: this.#place, state: next });
  }

  async #keepInit(configs: TrackConfigs, earlier: boolean): Promise<StoredInit> {
    const bytes = initSegment(configs);
    const there = this.#inits.find((init) => init.bytes.equals(bytes));
    if (there) return there;
    const key = initKey(this.#options.segmentPrefix, this.#inits.length + 1);
    await this.#store.putMedia(key, bytes, MEDIA_TYPE, earlier);
    const init = { bytes, key };
    this.#inits.push(init);
    return init;
  }

  #wallMs(ns: number): number {
    return Math.round(this.#options.epochMs + ns / 1e6);
  }

  /** Playlists last: what they list is there. The one with parts is the live one, where there is one. */
  async #publish(ended: boolean): Promise<Pick<HlsResult, 'playlist' | 'livePlaylist'>> {
    const { playlistKey, livePlaylistKey, onUpdate } = this.#options;
    const news = ended || this.#list.takeNews();
    let playlist: StoredObject = { key: playlistKey, location: '', bytes: 0 };
    let livePlaylist: StoredObject | undefined;
    if (news || livePlaylistKey === undefined) {
      playlist = await this.#putPlaylist(playlistKey, 'event', livePlaylistKey === undefined, ended);
    }
    if (livePlaylistKey !== undefined) {
      livePlaylist = await this.#putPlaylist(livePlaylistKey, 'live', true, ended);
    }
    if (news) onUpdate?.(this.status);
    return { playlist, livePlaylist };
  }

  async #putPlaylist(
    key: string,
    type: 'event' | 'live',
    withParts: boolean,
    ended: boolean,
  ): Promise<StoredObject> {
    const { partDuration, live, segmentPrefix } = this.#options;
    const uri = (of: string) => relativeUri(key, of);
    const low =
      withParts && live && partDuration !== undefined
        ? {
            partTarget: partDuration,
            open: this.#list.open(uri),
            hint: uri(partKey(segmentPrefix, this.#packager.nextPart)),
          }
        : undefined;
    const targetDuration = this.#targetDuration;
    const text = renderPlaylist(this.#list.entries(uri), { type, ended, targetDuration, low });
    return this.#store.putPlaylist(key, text, low !== undefined && !ended);
  }
}
