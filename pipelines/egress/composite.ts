/** Any number of tracks become one picture and one sound. */
import Gst from 'gi://Gst?version=1.0';
import GLib from 'gi://GLib?version=2.0';

import { muxer, muxPad, rawAudio, videoEncoder } from '../shared/encoders.ts';
import type { CompositeInit, Tile, VideoEncoding } from '../shared/protocol.ts';
import { codecElements, TIMED_PICTURES } from '../shared/rtp-codecs.ts';
import { child, forceKeyFrame, requestPad, setFromText, setProperties } from '../runtime/gst.ts';
import type { Cut } from './log-branch.ts';
import { PCM_TEE, pcmTap } from './pcm-tap.ts';
import { NamePlates } from './name-plates.ts';
import { alignPage, hidePage, pagePicture, pageSound } from './page.ts';
import { oneEar } from './one-ear.ts';
import type { Program } from './program.ts';
import type { Receiver } from '../runtime/receiver.ts';
import type { Connect } from '../runtime/receiver-bin.ts';
import { pictureTee, renditionBranches, renditionEncoders, soundTee } from './renditions.ts';
import { compensateEncoder, mixedAudio, MIXER_LATENCY_NS } from './silence.ts';
import { tapSink } from './tap.ts';
import { VOICE_LEVEL } from './voice-level.ts';

/**
 * How a source is scaled into its tile: linearly, plane by plane. Matrix conversions are off: WebRTC pictures do
 * not say what they are, decoders guess by size, and a layer switch must not change colours (nor cost a conversion).
 */
const CONVERTER =
  'GstVideoConverter,' +
  'GstVideoConverter.resampler-method=(GstVideoResamplerMethod)linear,' +
  'GstVideoConverter.chroma-resampler-method=(GstVideoResamplerMethod)linear,' +
  'GstVideoConverter.matrix-mode=(GstVideoMatrixMode)none,' +
  'GstVideoConverter.gamma-mode=(GstVideoGammaMode)none,' +
  'GstVideoConverter.primaries-mode=(GstVideoPrimariesMode)none,' +
  'GstVideoConverter.dither-method=(GstVideoDitherMethod)none';

/** Backgrounds the compositor draws by itself, by colour. */
const PLAIN: Readonly<Record<string, string>> = { '#000000': 'black', '#ffffff': 'white' };

interface Input {
  pad: Gst.Pad;
  kind: 'audio' | 'video';
  visible: boolean;
}

export class Composite implements Program {
  readonly description: string;
  readonly cut: Cut;
  readonly #init: CompositeInit;
  readonly #inputs = new Map<string, Input>();
  #tiles = new Map<string, Tile>();
  #pipeline: Gst.Pipeline | undefined;
  #names: NamePlates | undefined;

  /** @throws Error if there is nothing to make, or the background is not a colour */
  constructor(init: CompositeInit) {
    this.#init = init;
    const { video, audio } = init;
    const { container } = init.log;
    if (!video && !audio) throw new Error('composite without video and audio has nothing to do');
    if (container === 'matroska' && audio?.codec === 'aac')
      throw new Error('AAC goes into mpegts; matroska takes opus and mp3');
    if (container === 'mpegts' && audio && audio.codec !== 'aac')
      throw new Error(`${audio.codec} goes into matroska; mpegts takes AAC`);
    this.cut = video ? 'keyframe' : 'duration';
    const parts = [muxer(container, { video: !!video, audio: !!audio })];
    if (video)
      parts.push(
        `${picture(video, init, pictureTee(init))} ! queue name=videoleg ! ${muxPad(container, 'video')}`,
      );
    const pcm = init.tap && init.tapFormat === 'pcm';
    if (pcm && !audio) throw new Error('a tap of sound needs sound');
    if (audio) {
      const mixed = mixedAudio(audio, 'F32LE', init.tap || init.live === true, pcm ? PCM_TEE : '');
      parts.push(`${mixed} ${soundTee(init)}! queue name=audioleg ! ${muxPad(container, 'audio')}`);
      if (init.page) parts.push(...pageSound(init.page, audio));
    }
    if (pcm) parts.push(pcmTap(tapSink(0)));
    parts.push(...renditionBranches(init));
    this.description = parts.join('  ');
  }

  attach(pipeline: Gst.Pipeline): void {
    this.#pipeline = pipeline;
    if (this.#init.audio) compensateEncoder(pipeline, this.#init.audio);
    if (this.#init.audio && this.#init.page) alignPage(pipeline, this.#init.page);
    if (this.#init.page?.hidden) this.hide(true);
    if (this.#init.video && !this.#init.page)
      this.#names = new NamePlates(pipeline, this.#mixer('video'), COLOR_SPACE);
  }

  started(): void {
    // The base and the silence drive it from the first moment.
  }

  tail(connect: Connect): string {
    if (this.#init.page) throw new Error('a page is recorded: no track can be added');
    const { kind, parse, decode } = codecElements(connect.codec.mimeType);
    if (kind !== connect.kind) throw new Error(`${connect.codec.mimeType} is not ${connect.kind}`);
    if (kind === 'video') {
      const { video } = this.#init;
      if (!video) throw new Error('this composite has no video');
      // Told to be what the canvas is, a picture that fits its tile is taken as it is: compositor would
      // convert every frame, to no effect with matrices off, at more than the cost of decoding it.
      const like = `capssetter caps="video/x-raw,${COLOR_SPACE}"`;
      return `${parse} ! ${decode} automatic-request-sync-points=true ! ${like} ! ${TIMED_PICTURES} name=out`;
    }
    const { audio } = this.#init;
    if (!audio) throw new Error('this composite has no audio');
    const stereo = rawAudio(audio, 'F32LE');
    return `${decode} ! audioconvert${oneEar(connect.channel, audio)} ! audioresample ! ${stereo} ! ${this.#init.levels ? VOICE_LEVEL : ''}identity name=out silent=true`;
  }

  plug(receiver: Receiver, connect: Connect): Gst.Pad {
    const { kind } = connect;
    const pad = requestPad(this.#mixer(kind), 'sink_%u');
    const input: Input = { pad, kind, visible: false };
    this.#inputs.set(receiver.trackId, input);
    if (kind === 'video') {
      setFromText(pad, { 'sizing-policy': 'keep-aspect-ratio', 'converter-config': CONVERTER });
      this.#place(receiver.trackId, input);
    }
    return pad;
  }

  unplug(trackId: string): void {
    const input = this.#inputs.get(trackId);
    if (!input) return;
    this.#inputs.delete(trackId);
    this.#mixer(input.kind).release_request_pad(input.pad);
  }

  show(trackId: string, visible: boolean): void {
    const input = this.#inputs.get(trackId);
    if (!input || input.visible === visible) return;
    input.visible = visible;
    this.#place(trackId, input);
  }

  tick(): void {
    // Mixers need no help with gaps.
  }

  layout(tiles: readonly Tile[], color?: 'black' | 'white'): void {
    this.#tiles = new Map(tiles.map((tile) => [tile.trackId, tile]));
    for (const [trackId, input] of this.#inputs) this.#place(trackId, input);
    if (color !== undefined) setFromText(this.#mixer('video'), { background: color });
    this.#names?.show(tiles);
  }

  /** A picture that is not in the layout or does not flow is transparent, and costs nothing. */
  #place(trackId: string, { pad, kind, visible }: Input): void {
    if (kind !== 'video') return;
    const tile = this.#tiles.get(trackId);
    if (!tile || !visible) {
      setProperties(pad, { alpha: 0 });
      return;
    }
    const { x, y, width, height, z } = tile;
    setProperties(pad, { xpos: x, ypos: y, width, height, zorder: z, alpha: 1 });
  }

  hide(hidden: boolean): void {
    const { page, video, audio } = this.#init;
    if (!page) throw new Error('this composite has no page: its tracks are connected and disconnected');
    hidePage(this.#built(), hidden, {
      picture: video !== null,
      sound: audio !== null && page.sound !== undefined,
    });
  }

  keyFrame(): void {
    if (!this.#init.video) throw new Error('this composite has no video');
    for (const name of ['videoenc', ...renditionEncoders(this.#init)]) {
      forceKeyFrame(child(this.#built(), name));
    }
  }

  finish(): void {
    for (const { pad } of this.#inputs.values()) pad.send_event(Gst.Event.new_eos());
  }

  #mixer(kind: 'audio' | 'video'): Gst.Element {
    return child(this.#built(), kind === 'video' ? 'compositor' : 'audiomix');
  }

  #built(): Gst.Pipeline {
    if (!this.#pipeline) throw new Error('the pipeline is not built');
    return this.#pipeline;
  }
}

/**
 * Compositor, its ever-running base, and the encoder. The base drives the picture when nobody publishes; over a
 * background the compositor draws itself it is 16x16 transparent pixels.
 */
function picture(
  video: VideoEncoding & { background: string },
  { log, page }: CompositeInit,
  behindCanvas: string,
): string {
  const rate = `framerate=${Math.round(video.framerate)}/1`;
  const size = `width=${video.width},height=${video.height}`;
  const canvas = `video/x-raw,format=I420,${size},${rate},pixel-aspect-ratio=1/1,${COLOR_SPACE}`;
  return [
    page ? pagePicture(page, video, rate, canvas) : composed(video, rate, size, canvas),
    `${behindCanvas}! queue name=canvas max-size-buffers=4 max-size-time=0 max-size-bytes=0`,
    `! ${videoEncoder(video, log.container, GLib.get_num_processors())}`,
  ].join(' ');
}

/** Compositor and base, up to the canvas. */
function composed(
  video: VideoEncoding & { background: string },
  rate: string,
  size: string,
  canvas: string,
): string {
  const color = background(video.background);
  const plain = PLAIN[color];
  const base = plain
    ? `videotestsrc name=base is-live=true pattern=black ! video/x-raw,format=I420,width=16,height=16,${rate} ! compositor.sink_0`
    : `videotestsrc name=base is-live=true pattern=solid-color foreground-color=0xff${color.slice(1)} ! video/x-raw,format=I420,${size},${rate} ! compositor.sink_0`;
  const settings =
    `compositor name=compositor background=${plain ?? 'black'} min-upstream-latency=${MIXER_LATENCY_NS} ` +
    `start-time-selection=first max-threads=1 sink_0::zorder=0 sink_0::alpha=${plain ? 0 : 1}`;
  return `${base} ${settings} ! ${canvas}`;
}

/**
 * The canvas, as caps: BT.601 at every size, which is what browsers send at every size and do not say. So no
 * picture needs converting, and the encoder writes it into the stream: players would guess BT.709 from 720p on.
 */
const COLOR_SPACE = 'colorimetry=(string)bt601,chroma-site=(string)mpeg2';

/** `#rrggbb` in lower case; `black`, `white` and empty are known by name. @throws Error for anything else */
function background(text: string): string {
  const named: Readonly<Record<string, string>> = { '': '#000000', black: '#000000', white: '#ffffff' };
  const color = (named[text.toLowerCase()] ?? text).toLowerCase();
  if (!/^#[0-9a-f]{6}$/.test(color))
    throw new Error(`background ${text} is not a colour of the form #rrggbb`);
  return color;
}
