/**
 * The clock of the test publisher. Frame n has the timestamp n/fps and audio chunk k the timestamp k·20 ms,
 * both counted from one moment on the pipeline's clock; each is pushed when its moment has come.
 */
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';
import GstApp from 'gi://GstApp?version=1.0';
import GstVideo from 'gi://GstVideo?version=1.0';

import { CHUNK_SAMPLES, encoderName, layersOf, NAMES, pictureCaps } from './media.ts';
import { Painter } from './picture.ts';
import type { PublisherSettings } from './protocol.ts';
import { COLORS, renderSound, SAMPLE_RATE } from './signal.ts';

const SECOND = 1e9;
const CHUNK_NS = (CHUNK_SAMPLES / SAMPLE_RATE) * SECOND;
const CHUNKS_A_SECOND = SAMPLE_RATE / CHUNK_SAMPLES;
/** Further behind than this (the machine slept, the process was stopped), what was missed is left out. */
const MAX_LATE_NS = 0.5 * SECOND;

/** As much may wait for an encoder that is short of processor time; what comes on top is left out. */
const MAX_QUEUED_NS = SECOND;

/** A track's place on the clock. */
interface Track {
  source: GstApp.AppSrc;
  muted: boolean;
  /** Number of the next frame or chunk. */
  next: number;
}

export class Feeder {
  readonly #pipeline: Gst.Pipeline;
  readonly #settings: PublisherSettings;
  readonly #encoders: Gst.Element[];
  readonly #video: Track | null;
  readonly #audio: Track | null;
  #painter: Painter | null = null;
  /** A second of sound, by chunk: the pitches are whole numbers of Hz, so every second sounds like the first. */
  readonly #second: Uint8Array[] = [];
  #startNs = 0;
  #timer = 0;
  #skipped = 0;

  constructor(pipeline: Gst.Pipeline, settings: PublisherSettings) {
    this.#pipeline = pipeline;
    this.#settings = settings;
    this.#encoders = (settings.video ? layersOf(settings.video) : []).flatMap(
      (layer) => pipeline.get_by_name(encoderName(layer)) ?? [],
    );
    this.#video = this.#track(NAMES.video);
    this.#audio = this.#track(NAMES.audio);
    if (settings.video)
      this.#painter = new Painter(settings.video.width, settings.video.height, COLORS[settings.color]);
  }

  /** Frames and chunks whose moment has come, sent or not, and those left out because we were late. */
  get counts(): { frames: number; chunks: number; skipped: number } {
    return { frames: this.#video?.next ?? 0, chunks: this.#audio?.next ?? 0, skipped: this.#skipped };
  }

  /** Starts the clock: frame 0 and chunk 0 are now. */
  start(): void {
    this.#startNs = this.#runningTime();
    this.#tick();
  }

  stop(): void {
    if (this.#timer) GLib.source_remove(this.#timer);
    this.#timer = 0;
  }

  /** Stops or resumes sending a track; a picture resumes with a keyframe, as browsers do. */
  setMuted(kind: 'audio' | 'video', muted: boolean): void {
    const track = kind === 'video' ? this.#video : this.#audio;
    if (!track) throw new Error(`cannot mute ${kind}: this publisher has none`);
    track.muted = muted;
    if (kind === 'video' && !muted) this.#forceKeyframe();
  }

  /** New size from the next frame on; the encoder starts anew with new parameter sets. */
  setResolution(width: number, height: number): void {
    const { video, color } = this.#settings;
    if (!video || !this.#video) throw new Error('cannot change the resolution: this publisher has no video');
    if (video.simulcast) throw new Error('cannot change the resolution of simulcast layers');
    this.#painter = new Painter(width, height, COLORS[color]);
    this.#video.source.set_caps(Gst.Caps.from_string(pictureCaps(width, height, video.fps)));
  }

  /** Makes the next frame a keyframe. */
  #forceKeyframe(): void {
    const { video } = this.#settings;
    if (!video || !this.#video) return;
    // A wish for a time before the last keyframe counts as granted, so it is for just after the last frame.
    const wish = this.#startNs + Math.round(((this.#video.next - 1) * SECOND) / video.fps) + 1;
    for (const encoder of this.#encoders) {
      const event = GstVideo.video_event_new_upstream_force_key_unit(wish, true, 1);
      // To the encoder's source pad: an element given the event would hand it on upstream.
      encoder.get_static_pad('src')?.send_event(event);
    }
  }

  #track(name: string): Track | null {
    const source = this.#pipeline.get_by_name(name);
    return source instanceof GstApp.AppSrc ? { source, muted: false, next: 0 } : null;
  }

  #runningTime(): number {
    const clock = this.#pipeline.get_clock();
    if (!clock) throw new Error('the pipeline has no clock');
    return Number(clock.get_time()) - Number(this.#pipeline.get_base_time());
  }

  /** Pushes everything that is due and sleeps until the next thing is. */
  #tick(): void {
    const now = this.#runningTime() - this.#startNs;
    const fps = this.#settings.video?.fps ?? 1;
    const due: number[] = [];
    const painter = this.#painter;
    if (this.#video && painter)
      due.push(this.#feed(this.#video, SECOND / fps, now, (n) => painter.draw(n, fps)));
    if (this.#audio) due.push(this.#feed(this.#audio, CHUNK_NS, now, (n) => this.#sound(n)));
    const wait = (Math.min(...due) - (this.#runningTime() - this.#startNs)) / 1e6;
    this.#timer = GLib.timeout_add(GLib.PRIORITY_HIGH, Math.max(0, Math.ceil(wait)), () => {
      this.#tick();
      return GLib.SOURCE_REMOVE;
    });
  }

  /** Answers the moment of the track's next piece, ns since the start. */
  #feed(track: Track, periodNs: number, now: number, render: (n: number) => Uint8Array): number {
    while (track.next * periodNs <= now) {
      const n = track.next++;
      if (track.muted) continue;
      const queuedNs = track.source.get_current_level_buffers() * periodNs;
      if (now - n * periodNs > MAX_LATE_NS || queuedNs > MAX_QUEUED_NS) {
        this.#skipped++;
        continue;
      }
      const buffer = Gst.Buffer.new_wrapped(render(n));
      buffer.pts = this.#startNs + Math.round(n * periodNs);
      buffer.duration = Math.round(periodNs);
      track.source.push_buffer(buffer);
    }
    return track.next * periodNs;
  }

  #sound(chunk: number): Uint8Array {
    const place = chunk % CHUNKS_A_SECOND;
    return (this.#second[place] ??= new Uint8Array(
      renderSound(place * CHUNK_SAMPLES, CHUNK_SAMPLES, this.#settings.pitch).buffer,
    ));
  }
}
