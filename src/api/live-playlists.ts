/**
 * Blocking playlist reload of LL-HLS (RFC 8216bis, 6.2.5.2) from files alone: whoever writes the playlist may be another
 * process, and another one after a takeover. Each playlist is looked at by one timer, and only while somebody waits.
 */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { isThere, isTooFar, readEnd } from './live-playlist.ts';
import type { PlaylistEnd, ReloadWish } from './live-playlist.ts';

export type ReloadOutcome =
  | { status: 200; text: string; end: PlaylistEnd }
  /** There is no such file; the wish is beyond what may be wished for; the server ends. */
  | { status: 404 | 400 | 503 };

/** How often a playlist somebody waits for is looked at, ms. */
const LOOK_MS = 20;
/**
 * What does not come within this many target durations does not come for now: an egress is paused, or another worker
 * takes it over. RFC 8216bis, 6.2.5.2, suggests 503 then; hls.js gives up at the third one, so that whoever waits is
 * given the playlist as it is, and asks again.
 */
const WAIT_TARGETS = 3;
/** A playlist nobody has asked for is forgotten after this, ms. */
const FORGET_MS = 60_000;
/** Playlists known at once; the one asked for longest ago goes first. */
const MAX_KNOWN = 1000;

export class LivePlaylists {
  readonly #known = new Map<string, WatchedPlaylist>();
  #closed = false;

  /**
   * The playlist at `file` (absolute), once it has what is wished for.
   * @param gone aborted when nobody waits any more.
   */
  async get(file: string, wish: ReloadWish | undefined, gone: AbortSignal): Promise<ReloadOutcome> {
    const watched = this.#watch(file);
    let now = await watched.read();
    if (!now) return { status: 404 };
    if (wish && now.end.blocks && !isThere(wish, now.end)) {
      if (isTooFar(wish, now.end)) return { status: 400 };
      const ms = WAIT_TARGETS * now.end.targetDuration * 1000;
      // Closed while the file was read: nobody would be told any more.
      if (!this.#closed) await watched.until((end) => !end.blocks || isThere(wish, end), ms, gone);
      if (this.#closed) return { status: 503 };
      now = await watched.read();
    }
    return now ? { status: 200, ...now } : { status: 404 };
  }

  /** Waits while a playlist announces the part at `file` (absolute) as the next one, and it is not there yet. */
  async part(file: string, gone: AbortSignal): Promise<void> {
    if (await stat(file).catch(() => undefined)) return;
    if (this.#closed) return;
    for (const watched of this.#known.values()) {
      if (watched.hinted !== file) continue;
      const ms = WAIT_TARGETS * (watched.end?.targetDuration ?? 0) * 1000;
      await watched.until((end) => watched.pathOf(end.hint) !== file, ms, gone);
      return;
    }
  }

  /** Whoever waits is told to come again. */
  close(): void {
    this.#closed = true;
    for (const watched of this.#known.values()) watched.close();
  }

  #watch(file: string): WatchedPlaylist {
    const now = Date.now();
    for (const [key, each] of this.#known) {
      if (each.waiting > 0 || (now - each.askedAtMs < FORGET_MS && this.#known.size <= MAX_KNOWN)) continue;
      this.#known.delete(key);
    }
    const watched = this.#known.get(file) ?? new WatchedPlaylist(file);
    watched.askedAtMs = now;
    // Last in the map: asked for last.
    this.#known.delete(file);
    this.#known.set(file, watched);
    return watched;
  }
}

class WatchedPlaylist {
  askedAtMs = 0;
  readonly #file: string;
  readonly #waiters = new Set<{ done: (end: PlaylistEnd) => boolean; resolve: (came: boolean) => void }>();
  #timer: NodeJS.Timeout | undefined;
  #seen = '';
  #now: { text: string; end: PlaylistEnd } | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  get end(): PlaylistEnd | undefined {
    return this.#now?.end;
  }

  /** The part that is announced, as an absolute path. */
  get hinted(): string | undefined {
    return this.pathOf(this.#now?.end.hint);
  }

  pathOf(uri: string | undefined): string | undefined {
    if (uri === undefined) return undefined;
    return path.resolve(path.dirname(this.#file), uri.split('/').map(decodeURIComponent).join('/'));
  }

  /** What the file says now; undefined where it is not. It is replaced whole, so that no half of it is read. */
  async read(): Promise<{ text: string; end: PlaylistEnd } | undefined> {
    const found = await stat(this.#file).catch(() => undefined);
    if (!found) {
      this.#now = undefined;
      return undefined;
    }
    const seen = `${found.ino} ${found.mtimeMs} ${found.size}`;
    if (seen === this.#seen && this.#now) return this.#now;
    const text = await readFile(this.#file, 'utf8').catch(() => undefined);
    this.#seen = seen;
    this.#now = text === undefined ? undefined : { text, end: readEnd(text) };
    return this.#now;
  }

  /** Resolves true once the playlist is as wished for, false when it is not within `ms` or nobody waits any more. */
  async until(done: (end: PlaylistEnd) => boolean, ms: number, gone: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter = { done, resolve };
    this.#waiters.add(waiter);
    const late = setTimeout(() => resolve(false), ms);
    const left = () => resolve(false);
    gone.addEventListener('abort', left, { once: true });
    if (gone.aborted) left();
    this.#look();
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      gone.removeEventListener('abort', left);
      this.#waiters.delete(waiter);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const { resolve } of this.#waiters) resolve(false);
  }

  #look(): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      void this.read().then((now) => {
        this.#timer = undefined;
        for (const waiter of this.#waiters) {
          if (!now) waiter.resolve(false);
          else if (waiter.done(now.end)) waiter.resolve(true);
          else continue;
          this.#waiters.delete(waiter);
        }
        if (this.#waiters.size > 0) this.#look();
      });
    }, LOOK_MS);
  }
}
