/** Looks into a Matroska stream as it passes, as FFmpeg's muxer writes it to a pipe: unknown sizes, no index. */
import { readElement, readUint } from '../../../media/ebml.ts';
import type { EbmlElement } from '../../../media/ebml.ts';
import { InspectError } from '../../../media/errors.ts';
import { vp8FrameSize, vp9FrameSize } from '../../../media/vpx.ts';
import { InputError } from '../types.ts';
import type { InputMeasures } from '../types.ts';
import { ByteFeed } from './byte-feed.ts';
import type { Parser } from './byte-feed.ts';
import { H264Watch } from './h264.ts';
import { Id, TRANSPARENT, readBlock, readScale, readTracks } from './matroska-elements.ts';
import type { TrackEntry } from './matroska-elements.ts';
import { Meter } from './meter.ts';
import { HEAD_BYTES } from './types.ts';
import type { InputDescription, StreamInspector } from './types.ts';

/** Bytes of tracks, with everything codecs keep there. */
const MAX_TRACKS_BYTES = 4 * 1024 * 1024;
/** An id of 4 bytes and a size of 8. */
const MAX_HEADER = 12;

export class MkvInspector implements StreamInspector {
  readonly #feed = new ByteFeed();
  readonly #parser: Parser = this.#parse();
  readonly #h264 = new H264Watch();
  readonly #videoMeter = new Meter();
  readonly #audioMeter = new Meter();
  #failure: InputError | undefined;
  #description: InputDescription | undefined;
  #video: TrackEntry | undefined;
  #audio: TrackEntry | undefined;
  #tracksRead = false;
  #scaleNs = 1_000_000;
  #clusterTime = 0;

  constructor() {
    this.#parser.next();
  }

  get description(): InputDescription | undefined {
    return this.#description;
  }

  get failure(): InputError | undefined {
    return this.#failure;
  }

  push(bytes: Buffer): void {
    if (this.#failure) return;
    this.#feed.push(bytes);
    this.#parser.next();
  }

  settle(): void {
    this.#h264.settle();
    this.#describe(true);
  }

  measures(): InputMeasures {
    const described = this.#description;
    const { width = 0, height = 0 } = this.#h264.sps ?? this.#video ?? {};
    return {
      video: described?.video && { ...this.#videoMeter.rates(), width, height },
      audio: described?.audio && { bitrate: this.#audioMeter.rates().bitrate },
    };
  }

  *#parse(): Parser {
    try {
      let first = true;
      while (true) {
        const element = yield* this.#header();
        if (first && element.id !== Id.ebml) {
          this.#fail('this is not Matroska: it does not begin with an EBML header');
          return;
        }
        first = false;
        if (TRANSPARENT.has(element.id)) continue;
        const size = element.to - element.content;
        if (size === Infinity) throw new InspectError(`element ${hex(element)} has no end`);
        yield* this.#element(element.id, size);
        if (this.#description === undefined) this.#describe(false);
      }
    } catch (error) {
      if (!(error instanceof InspectError)) throw error;
      this.#fail(`this is not whole Matroska: ${error.message}`);
    }
  }

  /** Id and size of the next element, with the least bytes that they take. */
  *#header(): Generator<undefined, EbmlElement, undefined> {
    let bytes = Buffer.alloc(0);
    while (bytes.length < MAX_HEADER) {
      bytes = Buffer.concat([bytes, yield* this.#feed.take(1)]);
      const element = readElement(bytes, 0);
      if (element) return element;
    }
    throw new InspectError('an element has no readable size');
  }

  *#element(id: number, size: number): Parser {
    if (id === Id.info || id === Id.tracks) {
      if (size > MAX_TRACKS_BYTES) throw new InspectError(`its tracks take ${size} bytes`);
      const bytes = yield* this.#feed.take(size);
      if (id === Id.info) this.#scaleNs = readScale(bytes);
      else if (!this.#tracksRead) this.#onTracks(readTracks(bytes));
    } else if (id === Id.timestamp) {
      const bytes = yield* this.#feed.head(size, 8);
      this.#clusterTime = readUint(bytes, { id, from: 0, content: 0, to: bytes.length });
    } else if (id === Id.simpleBlock || id === Id.block) {
      const bytes = yield* this.#feed.head(size, HEAD_BYTES);
      this.#onBlock(bytes, size, id === Id.simpleBlock);
    } else {
      yield* this.#feed.skip(size);
    }
  }

  #onTracks(tracks: TrackEntry[]): void {
    this.#tracksRead = true;
    this.#video = tracks.find((track) => track.type === 'video');
    this.#audio = tracks.find((track) => track.type === 'audio');
    if (this.#video?.codec === 'h264') this.#h264.config(this.#video.codecPrivate);
  }

  #onBlock(bytes: Buffer, size: number, simple: boolean): void {
    const block = readBlock(bytes);
    if (!block) return;
    const atMs = ((this.#clusterTime + block.relative) * this.#scaleNs) / 1e6;
    const frame = bytes.subarray(block.data);
    if (block.track === this.#audio?.number) this.#audioMeter.frame(atMs, size - block.data);
    if (!this.#video || block.track !== this.#video.number) return;
    this.#videoMeter.frame(atMs, size - block.data);
    const { codec } = this.#video;
    // A group says by a reference behind the block that it is no keyframe: taken for none, it only costs a little.
    if (codec === 'h264') this.#h264.frame(frame, atMs, simple ? block.keyFrame : true);
    const picture = codec === 'vp8' ? vp8FrameSize(frame) : codec === 'vp9' ? vp9FrameSize(frame) : undefined;
    if (picture) Object.assign(this.#video, picture);
  }

  #describe(now: boolean): void {
    if (this.#description || !this.#tracksRead || (!this.#video && !this.#audio)) return;
    const { sps } = this.#h264;
    const isH264 = this.#video?.codec === 'h264';
    if (isH264 && !now && (this.#h264.bFrames === undefined || !sps)) return;
    this.#description = {
      video: this.#video && {
        codec: this.#video.codec,
        profile: sps?.profile ?? '',
        width: sps?.width ?? this.#video.width,
        height: sps?.height ?? this.#video.height,
        rotation: this.#video.rotation,
        framerate: this.#video.framerate ?? sps?.framerate,
        bFrames: isH264 ? this.#h264.bFrames : undefined,
      },
      audio: this.#audio && {
        codec: this.#audio.codec,
        sampleRate: this.#audio.sampleRate,
        channels: this.#audio.channels,
      },
    };
  }

  #fail(message: string): void {
    this.#failure = new InputError(message, { retry: false });
    this.#feed.clear();
  }
}

function hex(element: EbmlElement): string {
  return `0x${element.id.toString(16)}`;
}
