/** Looks into an FLV stream as it passes: what our RTMP relay gives, and FFmpeg's muxer. */
import { decodeAmf0 } from '../rtmp/amf0.ts';
import type { AmfValue } from '../rtmp/amf0.ts';
import { InputError } from '../types.ts';
import type { InputAudio, InputMeasures, InputVideo } from '../types.ts';
import { readAacConfig, readMp3Header } from './aac.ts';
import { ByteFeed } from './byte-feed.ts';
import type { Parser } from './byte-feed.ts';
import { readAudioTag, readVideoTag } from './flv-tags.ts';
import { H264Watch } from './h264.ts';
import { Meter } from './meter.ts';
import { HEAD_BYTES } from './types.ts';
import type { InputDescription, StreamInspector } from './types.ts';

const HEADER_SIZE = 9;
const TAG_HEAD = 11;
const TagType = { audio: 8, video: 9, data: 18 } as const;
/** ms of media after which a kind that has not come is not waited for, whatever the header says. */
const PATIENCE_MS = 1500;
/** Frame rates beyond are mistakes of metadata. */
const MAX_FRAMERATE = 1000;

export class FlvInspector implements StreamInspector {
  readonly #feed = new ByteFeed();
  readonly #parser: Parser = this.#parse();
  readonly #h264 = new H264Watch();
  readonly #videoMeter = new Meter();
  readonly #audioMeter = new Meter();
  #failure: InputError | undefined;
  #description: InputDescription | undefined;
  #expected = { video: false, audio: false };
  #metadata = new Map<string, AmfValue>();
  #video: InputVideo | undefined;
  #audio: InputAudio | undefined;
  #firstMs: number | undefined;
  #lastMs = 0;

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
    const sps = this.#h264.sps;
    const { width, height } = sps ?? this.#video ?? { width: 0, height: 0 };
    return {
      video: described?.video && { ...this.#videoMeter.rates(), width, height },
      audio: described?.audio && { bitrate: this.#audioMeter.rates().bitrate },
    };
  }

  *#parse(): Parser {
    const header = yield* this.#feed.take(HEADER_SIZE);
    const size = header.readUInt32BE(5);
    if (header.toString('latin1', 0, 3) !== 'FLV' || size < HEADER_SIZE || size > HEAD_BYTES) {
      this.#fail('this is not FLV: it does not begin with an FLV header');
      return;
    }
    const flags = header[4] ?? 0;
    this.#expected = { video: (flags & 1) !== 0, audio: (flags & 4) !== 0 };
    yield* this.#feed.skip(size - HEADER_SIZE + 4);
    while (true) {
      const head = yield* this.#feed.take(TAG_HEAD);
      const type = (head[0] ?? 0) & 0x1f;
      const bytes = head.readUIntBE(1, 3);
      const atMs = (head.readUIntBE(4, 3) | ((head[7] ?? 0) << 24)) >>> 0;
      const at = this.#feed.position;
      const body = yield* this.#feed.head(bytes, HEAD_BYTES);
      if (type === TagType.video) this.#onVideo(body, atMs, bytes);
      else if (type === TagType.audio) this.#onAudio(body, atMs, bytes);
      else if (type === TagType.data) this.#onData(body);
      if (this.#description === undefined) this.#describe(false);
      const trailer = (yield* this.#feed.take(4)).readUInt32BE(0);
      // Some writers leave the size out; another one means that we are lost.
      if (trailer !== TAG_HEAD + bytes && trailer !== 0) {
        this.#fail(`this is not whole FLV: no tag of ${trailer} bytes ends at byte ${at + bytes}`);
        return;
      }
    }
  }

  #onVideo(body: Buffer, atMs: number, bytes: number): void {
    const tag = readVideoTag(body);
    if (!tag || tag.empty) return;
    const data = body.subarray(tag.data);
    if (tag.header) {
      if (tag.codec === 'h264') this.#h264.config(data);
    } else {
      this.#time(atMs);
      this.#videoMeter.frame(atMs, bytes - tag.data);
      if (tag.codec === 'h264') this.#h264.frame(data, atMs + tag.compositionMs, tag.keyFrame);
    }
    this.#video ??= {
      ...{ codec: tag.codec, profile: '', rotation: 0, bFrames: undefined, framerate: undefined },
      ...{ width: 0, height: 0 },
    };
  }

  #onAudio(body: Buffer, atMs: number, bytes: number): void {
    const tag = readAudioTag(body);
    if (!tag) return;
    const data = body.subarray(tag.data);
    if (!tag.header) {
      this.#time(atMs);
      this.#audioMeter.frame(atMs, bytes - tag.data);
    }
    if (this.#audio) return;
    // Without its configuration AAC cannot be decoded.
    if (tag.codec === 'aac' && !tag.header) return;
    const exact =
      tag.codec === 'aac' ? readAacConfig(data) : tag.codec === 'mp3' ? readMp3Header(data) : undefined;
    this.#audio = {
      codec: tag.codec,
      sampleRate: positive(exact?.sampleRate) ?? tag.sampleRate,
      channels: positive(exact?.channels) ?? tag.channels,
    };
  }

  #onData(body: Buffer): void {
    try {
      const values = decodeAmf0(body);
      const at = values.indexOf('onMetaData');
      const properties = at < 0 ? undefined : values[at + 1];
      if (properties instanceof Map) this.#metadata = properties;
    } catch {
      // Metadata is a hint: what cannot be read of it is not missed.
    }
  }

  #number(name: string, most: number): number | undefined {
    const value = this.#metadata.get(name);
    return typeof value === 'number' && value > 0 && value <= most ? value : undefined;
  }

  #time(atMs: number): void {
    this.#firstMs ??= atMs;
    this.#lastMs = atMs;
  }

  /** Answers once everything expected is known; `now`: what is known by now is all. */
  #describe(now: boolean): void {
    if (this.#description) return;
    const patient = !now && this.#lastMs - (this.#firstMs ?? this.#lastMs) < PATIENCE_MS;
    if (patient && this.#expected.video && !this.#video) return;
    if (patient && this.#expected.audio && !this.#audio) return;
    if (!this.#video && !this.#audio) return;
    const video = this.#video && this.#describeVideo(this.#video);
    // A picture of which no parameter set has come is no use; it is waited for as long as somebody waits.
    if (video?.codec === 'h264' && (video.bFrames === undefined || video.width === 0)) {
      if (!now) return;
      this.#description = { video: video.width === 0 ? undefined : video, audio: this.#audio };
      if (!this.#description.video && !this.#audio) this.#description = undefined;
      return;
    }
    this.#description = { video, audio: this.#audio };
  }

  #describeVideo(video: InputVideo): InputVideo {
    const { sps } = this.#h264;
    const declared =
      this.#number('framerate', MAX_FRAMERATE) ?? this.#number('videoframerate', MAX_FRAMERATE);
    this.#video = {
      ...video,
      profile: sps?.profile ?? '',
      width: sps?.width ?? Math.round(this.#number('width', 65_535) ?? 0),
      height: sps?.height ?? Math.round(this.#number('height', 65_535) ?? 0),
      framerate: declared ?? sps?.framerate,
      bFrames: video.codec === 'h264' ? this.#h264.bFrames : undefined,
    };
    return this.#video;
  }

  #fail(message: string): void {
    this.#failure = new InputError(message, { retry: false });
    this.#feed.clear();
  }
}

function positive(value: number | undefined): number | undefined {
  return value === undefined || value <= 0 ? undefined : value;
}
