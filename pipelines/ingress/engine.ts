/** Runs one ingress: collects what it needs to know, builds the pipeline, watches it, and tells how it ends. */
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';

import {
  allElements,
  child,
  every,
  forceKeyFrame,
  monotonicMs,
  parsePipeline,
  setProperties,
  staticPad,
  watchBus,
} from '../runtime/gst.ts';
import type { End } from '../runtime/program.ts';
import type { PortRange } from '../runtime/socket.ts';
import { layerCaps } from '../shared/ingress-encoders.ts';
import type {
  IngressCommand,
  IngressCommandResults,
  IngressEvent,
  IngressInit,
} from '../shared/ingress-protocol.ts';
import { description, type Kind, NAMES } from './description.ts';
import { Formats } from './formats.ts';
import { Output } from './output.ts';
import { RtpInput } from './rtp-input.ts';
import { StartLine } from './start-line.ts';

const CONTAINERS = { flv: 'FLV', matroska: 'Matroska' } as const;

/** Time from the input's first bytes until a stream must have been found in them. */
const FIND_MS = 8000;
const WATCH_MS = 100;
const START_MS = 20;
const SYNC_MS = 500;

export class Engine {
  readonly #init: IngressInit;
  readonly #emit: (event: IngressEvent) => void;
  readonly #ended: (end: End) => void;
  readonly #kinds: readonly Kind[];
  readonly #outputs = new Map<Kind, Output>();
  readonly #input = new RtpInput();
  readonly #flowing = new Set<Kind>();
  readonly #finished = new Set<Kind>();
  #pipeline: Gst.Pipeline | undefined;
  #found = false;
  /** When the input's first bytes had come. */
  #sinceMs: number | undefined;
  #timers: (() => void)[] = [];
  #done = false;

  /** @param ended called once, when nothing is left to do. @throws Error if the init does not make a pipeline */
  constructor(init: IngressInit, emit: (event: IngressEvent) => void, ended: (end: End) => void) {
    this.#init = init;
    this.#emit = emit;
    this.#ended = ended;
    this.#kinds = [...(init.video ? ['video' as const] : []), ...(init.audio ? ['audio' as const] : [])];
    if (init.video?.mode === 'encode') this.#checkSizes(init.video.layers.length, init.video.layers);
    description(init, new Set(), 1);
  }

  /** @returns the port a kind is sent from. @throws Error if it cannot be bound */
  bind(kind: Kind, ip: string, range: PortRange): number {
    if (!this.#kinds.includes(kind)) throw new Error(`this ingress has no ${kind}`);
    if (this.#outputs.has(kind)) throw new Error(`${kind} is bound already`);
    const output = new Output(kind, ip, range);
    this.#outputs.set(kind, output);
    return output.port;
  }

  /** @throws Error if the kind is not bound, or connected already */
  connect(command: Extract<IngressCommand, { cmd: 'connect' }>): void {
    this.#output(command.kind).connect(command);
  }

  /** Of an `rtp` input. @throws Error for another */
  get input(): RtpInput {
    if (this.#init.input.type !== 'rtp') throw new Error('this input is not rtp: its bytes come by the pipe');
    return this.#input;
  }

  /** @throws Error if something is not connected, or the pipeline does not play */
  start(): void {
    if (this.#pipeline) throw new Error('started already');
    const outputs = this.#kinds.map((kind) => this.#output(kind));
    for (const { kind, connected } of outputs) if (!connected) throw new Error(`${kind} is not connected`);
    const secure = new Set(outputs.filter((output) => output.secure).map(({ kind }) => kind));
    const pipeline = parsePipeline(description(this.#init, secure, GLib.get_num_processors()));
    this.#pipeline = pipeline;
    // Each sink's end is told, not only that of all: RTCP's need not end.
    pipeline.message_forward = true;
    for (const output of outputs) output.wire(pipeline, this.#init.cname);
    if (this.#init.input.type === 'rtp')
      for (const kind of this.#kinds) this.#input.plug(pipeline, kind, this.#init[kind]?.mode === 'copy');
    watchBus(pipeline, (message) => this.#message(message));
    pipeline.use_clock(Gst.SystemClock.obtain());
    this.#run(pipeline);
    const formats = new Formats(pipeline, this.#kinds);
    this.#timers.push(
      every(WATCH_MS, () => this.#watch(formats)),
      every(START_MS, () => this.#flow()),
      every(SYNC_MS, () => this.#input.sync()),
    );
  }

  /** New sizes, as many as there are layers. @throws Error if they are not, are odd, or nothing is encoded */
  layerSizes(sizes: readonly { width: number; height: number }[]): void {
    const { video } = this.#init;
    if (video?.mode !== 'encode') throw new Error('this ingress does not encode video');
    this.#checkSizes(video.layers.length, sizes);
    const pipeline = this.#built();
    sizes.forEach((size, index) =>
      setProperties(child(pipeline, NAMES.size(index)), {
        caps: Gst.Caps.from_string(layerCaps(video, size)),
      }),
    );
  }

  /** A keyframe of every layer; nothing where video is copied. */
  keyFrame(): void {
    const { video } = this.#init;
    if (video?.mode !== 'encode') return;
    const pipeline = this.#built();
    video.layers.forEach((_, index) => forceKeyFrame(child(pipeline, NAMES.encoder(index))));
  }

  describe(): IngressCommandResults['describe'] {
    return {
      elements: allElements(this.#built()).map((element) => ({
        name: element.get_name() ?? '',
        factory: element.get_factory()?.get_name() ?? '',
        klass: element.get_factory()?.get_metadata('klass') ?? '',
      })),
    };
  }

  /** Ends at once. */
  stop(): void {
    this.#finish({ ok: true });
  }

  #run(pipeline: Gst.Pipeline): void {
    const play = (): void => {
      if (pipeline.set_state(Gst.State.PLAYING) === Gst.StateChangeReturn.FAILURE)
        throw new Error('the pipeline does not play');
    };
    if (this.#init.pacing === 'arrival') {
      play();
      return;
    }
    pipeline.set_state(Gst.State.PAUSED);
    const line = new StartLine(pipeline, this.#kinds);
    this.#timers.push(
      every(START_MS, () => {
        if (!line.ready()) return true;
        play();
        return false;
      }),
    );
  }

  #watch(formats: Formats): void {
    this.#input.tune();
    this.#seek();
    for (const change of formats.changes()) this.#emit(change);
  }

  /** Looks for the first packets of each kind. @returns false when there is nothing left to look for */
  #flow(): boolean {
    for (const [kind, output] of this.#outputs) {
      if (this.#flowing.has(kind) || !output.flowing) continue;
      this.#flowing.add(kind);
      const { video } = this.#init;
      if (kind === 'video' && video?.mode === 'encode')
        output.nameStreams(
          this.#built(),
          video.layers.map(({ ssrc }) => ssrc),
          video.payloadType,
        );
      this.#emit({ event: 'flowing', kind });
    }
    return this.#flowing.size < this.#outputs.size;
  }

  #message(message: Gst.Message): void {
    if (message.type === Gst.MessageType.ERROR) {
      this.#failed(message);
    } else if (message.type === Gst.MessageType.WARNING) {
      this.#warned(message);
    } else if (message.type === Gst.MessageType.ELEMENT) {
      const structure = message.get_structure();
      if (structure?.get_name() !== 'GstBinForwarded') return;
      const forwarded = structure.get_value('message') as Gst.Message;
      if (forwarded.type === Gst.MessageType.EOS) this.#sinkEnded(forwarded.src);
    }
  }

  #failed(message: Gst.Message): void {
    const [error, debug] = message.parse_error();
    const text = error?.message ?? 'unknown error';
    printerr(`${text} ${debug}`);
    const element = message.src.get_name() ?? '';
    const { input } = this.#init;
    const unread = element === NAMES.demux && input.type === 'pipe' && !this.#cameIn();
    const name = input.type === 'pipe' ? CONTAINERS[input.container] : '';
    const cause = unread ? `the input cannot be read as ${name}: ${text}` : text;
    this.#finish({ ok: false, message: cause, element });
  }

  #warned(message: Gst.Message): void {
    const [error, debug] = message.parse_warning();
    const text = error?.message ?? 'unknown warning';
    printerr(`${text} ${debug}`);
    if (!error?.matches(Gst.ParseError.quark(), Gst.ParseError.DELAYED_LINK)) {
      this.#emit({ event: 'warning', message: text });
      return;
    }
    // The demuxer has found all there is.
    for (const kind of this.#kinds)
      if (!this.#linked(kind)) this.#emit({ event: 'warning', message: `there is no ${kind} in the input` });
  }

  /** A demuxer may look for a beginning for ever. */
  #seek(): void {
    const { input } = this.#init;
    if (input.type !== 'pipe' || this.#found) return;
    this.#found = this.#cameIn();
    const [known, bytes] = child(this.#built(), NAMES.source).query_position(Gst.Format.BYTES);
    if (this.#found || !known || bytes === 0) return;
    this.#sinceMs ??= monotonicMs();
    if (monotonicMs() - this.#sinceMs < FIND_MS) return;
    const message = `the input cannot be read as ${CONTAINERS[input.container]}: no ${this.#kinds.join(' nor ')} in the first ${FIND_MS / 1000} s`;
    this.#finish({ ok: false, message, element: NAMES.demux });
  }

  /** Whether any stream was found in the input. */
  #cameIn(): boolean {
    return this.#kinds.some((kind) => this.#linked(kind));
  }

  /** Whether a stream of the kind was found. */
  #linked(kind: Kind): boolean {
    return staticPad(child(this.#built(), NAMES.input(kind)), 'sink').is_linked();
  }

  /** Everything has been sent when each kind that ever came has ended. */
  #sinkEnded(source: Gst.Object | null): void {
    for (const output of this.#outputs.values()) if (output.isSink(source)) this.#finished.add(output.kind);
    const left = this.#kinds.filter((kind) => !this.#finished.has(kind) && this.#linked(kind));
    if (left.length === 0) this.#finish({ ok: true });
  }

  #finish(end: End): void {
    if (this.#done) return;
    this.#done = true;
    for (const cancel of this.#timers) cancel();
    this.#pipeline?.get_bus().remove_watch();
    this.#pipeline?.set_state(Gst.State.NULL);
    for (const output of this.#outputs.values()) output.close();
    this.#input.close();
    this.#ended(end);
  }

  #checkSizes(count: number, sizes: readonly { width: number; height: number }[]): void {
    if (sizes.length !== count || count === 0) throw new Error(`${sizes.length} sizes for ${count} layers`);
    for (const { width, height } of sizes)
      if (width < 2 || height < 2 || width % 2 !== 0 || height % 2 !== 0)
        throw new Error(`a layer of ${width}x${height} pixels is not even`);
  }

  #output(kind: Kind): Output {
    const output = this.#outputs.get(kind);
    if (!output) throw new Error(`${kind} is not bound`);
    return output;
  }

  #built(): Gst.Pipeline {
    if (!this.#pipeline) throw new Error('not started');
    return this.#pipeline;
  }
}
