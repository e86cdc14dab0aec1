/**
 * How a reader that begins at a keyframe of a while ago gets to what is live: the pictures in between run past it in a
 * moment, in order, and their sound is left out. At their own times they would come all at once, and whoever receives
 * them as they arrive would take the stream for late by as much. Pure.
 */
import { readVideoTag } from '../inputs/inspect/flv-tags.ts';
import type { FlvTag } from '../inputs/rtmp/index.ts';

/** What came before passes this many times as fast. */
const SPEED = 16;
/** Less than this is not worth it, ms. */
const LEAST_MS = 100;
/** FLV's composition time: 24 bits, signed, after two bytes of codec and packet type (H.264 only). */
const CTS_AT = 2;

export class CatchUp {
  readonly #liveMs: number;
  readonly #on: boolean;

  /** @param liveMs of the newest tag there is */
  constructor(startMs: number, liveMs: number) {
    this.#liveMs = liveMs;
    this.#on = liveMs - startMs >= LEAST_MS;
  }

  /** The tag as it is to be sent; undefined: not at all. */
  apply(tag: FlvTag): FlvTag | undefined {
    if (!this.#on || tag.timestamp >= this.#liveMs) return tag;
    if (tag.type === 'audio') return undefined;
    return { ...tag, timestamp: this.time(tag.timestamp), payload: this.#composed(tag) };
  }

  /** Keeps order: what is shown later stays later. ms */
  time(ms: number): number {
    if (!this.#on || ms >= this.#liveMs) return ms;
    return Math.round(this.#liveMs - (this.#liveMs - ms) / SPEED);
  }

  #composed({ type, payload, timestamp }: FlvTag): Buffer {
    if (type !== 'video' || readVideoTag(payload)?.codec !== 'h264' || payload.length < CTS_AT + 3)
      return payload;
    const composition = payload.readIntBE(CTS_AT, 3);
    const copy = Buffer.from(payload);
    copy.writeIntBE(this.time(timestamp + composition) - this.time(timestamp), CTS_AT, 3);
    return copy;
  }
}
