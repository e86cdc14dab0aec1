/** The newest of a live stream, for readers that come, fall behind and go. Memory is bounded. */
import { createHash } from 'node:crypto';
import { readAvcConfig, reorders } from '../inputs/inspect/index.ts';
import { readAudioTag, readVideoTag } from '../inputs/inspect/flv-tags.ts';
import type { FlvTag } from '../inputs/rtmp/index.ts';

/** Bytes held at most; more than a keyframe distance of 10 s at 16 Mbit/s. */
const MAX_BYTES = 24 * 1024 * 1024;
/** ms of pictures before the newest keyframe that a reader may be behind. */
const BEHIND_MS = 3000;
/** ms from the first media in which the other kind is waited for. */
const OTHER_KIND_MS = 700;

export interface HeldTag {
  tag: FlvTag;
  /** A reader may begin here. */
  start: boolean;
  /** In force at this tag. */
  video: Header | undefined;
  audio: Header | undefined;
}

export interface Header {
  /** What a reader has been started for: another one needs another FLV. */
  format: string;
  /** The sequence header, where the codec has one. */
  tag: FlvTag | undefined;
}

export class LiveHold {
  #held: HeldTag[] = [];
  /** Number of the first that is held. */
  #first = 0;
  #bytes = 0;
  #metadata: FlvTag | undefined;
  #video: Header | undefined;
  #audio: Header | undefined;
  #firstMediaMs: number | undefined;

  get metadata(): FlvTag | undefined {
    return this.#metadata;
  }

  get video(): Header | undefined {
    return this.#video;
  }

  get audio(): Header | undefined {
    return this.#audio;
  }

  /** Number of the tag that comes next. */
  get next(): number {
    return this.#first + this.#held.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Time of the newest tag, ms. */
  get newestMs(): number | undefined {
    return this.#held.at(-1)?.tag.timestamp;
  }

  /** Undefined when it is gone, or has not come yet. */
  at(number: number): HeldTag | undefined {
    return this.#held[number - this.#first];
  }

  /** Where a reader begins: the newest keyframe; undefined while there is none, or it is too early to say what comes. */
  newestStart(nowMs: number): number | undefined {
    const waited = this.#firstMediaMs !== undefined && nowMs - this.#firstMediaMs >= OTHER_KIND_MS;
    if (!waited && !(this.#video && this.#audio)) return undefined;
    const index = this.#held.findLastIndex(({ start }) => start);
    return index < 0 ? undefined : this.#first + index;
  }

  /** @param tag with its time made tidy */
  push(tag: FlvTag, nowMs: number): void {
    if (tag.type === 'data') {
      this.#metadata = tag;
      this.#add({ tag, start: false, video: this.#video, audio: this.#audio });
      return;
    }
    this.#firstMediaMs ??= nowMs;
    const start = tag.type === 'video' ? this.#onVideo(tag) : this.#onAudio(tag);
    if (start) this.#forgetBefore(tag.timestamp - BEHIND_MS);
    this.#add({ tag, start, video: this.#video, audio: this.#audio });
  }

  /** The publisher has this kind no more. */
  drop(kind: 'audio' | 'video'): void {
    if (kind === 'video') this.#video = undefined;
    else this.#audio = undefined;
    this.clear();
  }

  /** Media is forgotten, headers stay. */
  clear(): void {
    this.#first += this.#held.length;
    this.#held = [];
    this.#bytes = 0;
  }

  #onVideo(tag: FlvTag): boolean {
    const read = readVideoTag(tag.payload);
    if (!read || read.empty) return false;
    if (read.header) this.#setVideo({ format: videoFormat(read.codec, tag.payload), tag });
    else if (!this.#video) this.#setVideo({ format: read.codec, tag: undefined });
    return !read.header && read.keyFrame;
  }

  #setVideo(header: Header): void {
    if (header.format !== this.#video?.format) this.clear();
    this.#video = header;
  }

  #onAudio(tag: FlvTag): boolean {
    const read = readAudioTag(tag.payload);
    if (!read) return false;
    const known = this.#audio;
    if (read.header || known?.format !== read.codec) {
      if (known && known.format !== read.codec) this.clear();
      this.#audio = { format: read.codec, tag: read.header ? tag : undefined };
    }
    return !read.header && this.#video === undefined;
  }

  #add(held: HeldTag): void {
    this.#held.push(held);
    this.#bytes += held.tag.payload.length;
    while (this.#bytes > MAX_BYTES) this.#shift();
  }

  /** Keeps what a reader may begin with that is a little behind. */
  #forgetBefore(time: number): void {
    const index = this.#held.findLastIndex(({ tag, start }) => start && tag.timestamp <= time);
    for (let i = 0; i < index; i++) this.#shift();
  }

  #shift(): void {
    const gone = this.#held.shift();
    if (!gone) return;
    this.#first++;
    this.#bytes -= gone.tag.payload.length;
  }
}

/** Whether H.264 is fit to be copied depends on its order, so that a change there needs another look. */
function videoFormat(codec: string, body: Buffer): string {
  if (codec !== 'h264') return codec;
  const config = body.subarray(5);
  const read = readAvcConfig(config);
  const order = read && reorders(read.sps);
  const unknown = () => createHash('sha256').update(config).digest('hex');
  return `h264 ${order === undefined ? unknown() : order ? 'reordered' : 'in order'}`;
}
