/** Copies one video and/or one audio track; sound that is encoded is mixed of any number. No video is ever decoded here. */
import Gst from 'gi://Gst?version=1.0';

import { muxer, muxPad, rawAudio } from '../shared/encoders.ts';
import type { Container, PassthroughInit } from '../shared/protocol.ts';
import { codecElements } from '../shared/rtp-codecs.ts';
import { child, requestPad, runningTime, setProperties } from '../runtime/gst.ts';
import { Leg } from './leg.ts';
import type { Cut } from './log-branch.ts';
import { oneEar } from './one-ear.ts';
import type { Program } from './program.ts';
import type { Receiver } from '../runtime/receiver.ts';
import type { Connect } from '../runtime/receiver-bin.ts';
import { compensateEncoder, mixedAudio } from './silence.ts';

/** Copied streams as the muxer sees them, whatever their size: a change of caps would be another stream to it. */
const H264 = 'video/x-h264,stream-format=(string)byte-stream,alignment=(string)au';
const OPUS = 'audio/x-opus,rate=(int)48000,channels=(int)2,channel-mapping-family=(int)0';

/**
 * End of a copied track's tail. A query for memory goes through a leg in order with the frames, holds the leg until the
 * muxer comes to it, and the muxer may first wait for frames: neither gaps nor the track's removal could get past it.
 */
const COPIED = 'identity name=out silent=true drop-allocation=true';

/** Unbounded, so that a leg never blocks its source; what waits in it is bounded by the other leg's gaps. */
function leg(name: string): string {
  return `queue name=${name} max-size-buffers=0 max-size-time=0 max-size-bytes=0`;
}

export class Passthrough implements Program {
  readonly description: string;
  readonly cut: Cut;
  readonly #init: PassthroughInit;
  readonly #container: Container;
  readonly #tracks = new Map<string, { receiver: Receiver; kind: 'audio' | 'video'; mixPad?: Gst.Pad }>();
  #pipeline: Gst.Pipeline | undefined;
  #video: Leg | undefined;
  #audio: Leg | undefined;
  /** Matroska: the header waits for the first picture's size. */
  #sizeKnown = false;

  /** @throws Error if the container cannot hold what is asked for */
  constructor(init: PassthroughInit) {
    this.#init = init;
    this.#container = init.log.container;
    if (!init.video && !init.audio) throw new Error('passthrough without video and audio has nothing to do');
    if (this.#container === 'matroska' && init.video && init.audio)
      throw new Error('matroska takes one copied stream: its muxer cannot bridge the mute of one of two');
    this.cut = init.video ? 'keyframe' : 'duration';
    this.description = [
      muxer(this.#container, { video: !!init.video, audio: !!init.audio }),
      ...this.#videoText(),
      ...this.#audioText(),
    ].join('  ');
  }

  #videoText(): string[] {
    const { video } = this.#init;
    if (!video) return [];
    const mimeType = video.mimeType.toLowerCase();
    const inTs = mimeType === 'video/h264';
    if (inTs !== (this.#container === 'mpegts'))
      throw new Error(
        `${video.mimeType} is copied into ${inTs ? 'mpegts' : 'matroska'}, not ${this.#container}`,
      );
    const caps = inTs ? ` caps="${H264}"` : '';
    return [
      `${leg('videoleg')} ! capssetter name=videocaps join=false replace=true${caps} ! ${muxPad(this.#container, 'video')}`,
    ];
  }

  #audioText(): string[] {
    const { audio } = this.#init;
    if (!audio) return [];
    const pad = muxPad(this.#container, 'audio');
    if (audio.mode === 'copy') {
      if (audio.mimeType.toLowerCase() !== 'audio/opus' || this.#container !== 'matroska')
        throw new Error(
          `${audio.mimeType} cannot be copied into ${this.#container}: only Opus into matroska can`,
        );
      // The muxer refuses a change of caps; silence may have come before the track and what its packets say of it.
      return [`${leg('audioleg')} ! capssetter join=false replace=true caps="${OPUS}" ! ${pad}`];
    }
    return [
      `${mixedAudio(audio.encoding, 'S16LE', this.#init.tap || this.#init.live === true)} ! queue name=mixedleg ! ${pad}`,
    ];
  }

  attach(pipeline: Gst.Pipeline): void {
    this.#pipeline = pipeline;
    if (this.#init.video) this.#video = new Leg(pipeline, 'videoleg');
    if (this.#init.audio?.mode === 'copy') this.#audio = new Leg(pipeline, 'audioleg');
    else if (this.#init.audio) compensateEncoder(pipeline, this.#init.audio.encoding);
    // Nothing passes until the header's size is known.
    if (this.#init.video && this.#container === 'matroska')
      setProperties(child(pipeline, 'videoleg'), { 'min-threshold-buffers': 1_000_000 });
    else this.#sizeKnown = true;
  }

  started(): void {
    const nowNs = this.#pipeline ? runningTime(this.#pipeline) : 0;
    this.#audio?.declare('audio', OPUS, nowNs);
    if (this.#sizeKnown) this.#video?.declare('video', H264, nowNs);
  }

  tail(connect: Connect): string {
    const { video, audio } = this.#init;
    const { kind, parse, decode } = codecElements(connect.codec.mimeType);
    if (kind !== connect.kind) throw new Error(`${connect.codec.mimeType} is not ${connect.kind}`);
    if (kind === 'video') {
      if (video?.mimeType.toLowerCase() !== connect.codec.mimeType.toLowerCase())
        throw new Error(
          `this passthrough copies ${video?.mimeType ?? 'no video'}, not ${connect.codec.mimeType}`,
        );
      return this.#container === 'mpegts' ? `${parse} ! ${H264} ! ${COPIED}` : `${parse} ! ${COPIED}`;
    }
    if (!audio) throw new Error('this passthrough has no audio');
    if (audio.mode === 'copy') return `${parse} ! ${COPIED}`;
    return `${decode} ! audioconvert${oneEar(connect.channel, audio.encoding)} ! audioresample ! ${rawAudio(audio.encoding, 'S16LE')} ! identity name=out silent=true`;
  }

  plug(receiver: Receiver, connect: Connect): Gst.Pad {
    const { kind } = connect;
    const copied = kind === 'video' ? this.#video : this.#audio;
    if (copied) {
      const taken = [...this.#tracks.values()].find((track) => track.kind === kind);
      if (taken)
        throw new Error(`${taken.receiver.trackId} is connected already: one copied ${kind} track at a time`);
      this.#tracks.set(connect.trackId, { receiver, kind });
      return copied.sink;
    }
    if (!this.#pipeline) throw new Error('not attached');
    const mixPad = requestPad(child(this.#pipeline, 'audiomix'), 'sink_%u');
    this.#tracks.set(connect.trackId, { receiver, kind, mixPad });
    return mixPad;
  }

  unplug(trackId: string): void {
    const track = this.#tracks.get(trackId);
    this.#tracks.delete(trackId);
    if (track?.mixPad && this.#pipeline) child(this.#pipeline, 'audiomix').release_request_pad(track.mixPad);
    const copied = track?.kind === 'video' ? this.#video : this.#audio;
    if (track && !track.mixPad && copied) track.receiver.src.unlink(copied.sink);
  }

  tick(nowNs: number): void {
    if (!this.#sizeKnown) this.#findSize();
    if (this.#container === 'mpegts') this.#video?.fill(nowNs, this.#position('video'));
    this.#audio?.fillOpus(nowNs, this.#position('audio'));
  }

  #position(kind: 'audio' | 'video'): number | undefined {
    return [...this.#tracks.values()].find((track) => track.kind === kind)?.receiver.position();
  }

  /**
   * The first picture's size goes into every chunk's Matroska header; a later one is in the pictures alone, which
   * is where decoders look. The muxer refuses a change of caps, and never sees one.
   */
  #findSize(): void {
    const track = [...this.#tracks.values()].find(({ kind }) => kind === 'video');
    const { width, height } = track?.receiver.format() ?? {};
    if (!this.#pipeline || !width || !height) return;
    const isVp9 = this.#init.video?.mimeType.toLowerCase() === 'video/vp9';
    const caps = `video/x-${isVp9 ? 'vp9' : 'vp8'},width=(int)${width},height=(int)${height},framerate=(fraction)0/1`;
    setProperties(child(this.#pipeline, 'videocaps'), { caps: Gst.Caps.from_string(caps) });
    setProperties(child(this.#pipeline, 'videoleg'), { 'min-threshold-buffers': 0 });
    this.#sizeKnown = true;
  }

  finish(): void {
    if (this.#pipeline && this.#init.video)
      setProperties(child(this.#pipeline, 'videoleg'), { 'min-threshold-buffers': 0 });
    this.#video?.end();
    this.#audio?.end();
  }

  show(): void {
    // A copied stream is what it is: there is nothing to hide.
  }

  layout(): void {
    throw new Error('passthrough has no layout');
  }

  hide(): void {
    throw new Error('passthrough has no page to hide');
  }

  keyFrame(): void {
    throw new Error('passthrough has no encoder: ask the SFU for a keyframe');
  }
}
