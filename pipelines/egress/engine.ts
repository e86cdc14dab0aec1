/** Runs one program: builds its pipeline, keeps its clock, its log and its tap, and ends it in order. */
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';

import type { CommandResults, Init, PipelineEvent } from '../shared/protocol.ts';
import { Composite } from './composite.ts';
import {
  after,
  allElements,
  child,
  every,
  parsePipeline,
  requestPad,
  runningTime,
  staticPad,
  watchBus,
} from '../runtime/gst.ts';
import type { End } from '../runtime/program.ts';
import { JITTER_LATENCY_MS } from '../runtime/receiver-bin.ts';
import { LOG_DESCRIPTION, LogBranch } from './log-branch.ts';
import { Passthrough } from './passthrough.ts';
import type { Program } from './program.ts';
import { Tap, tapSink } from './tap.ts';
import { Tracks } from './tracks.ts';
import { voiceLevel } from './voice-level.ts';

const TICK_MS = 200;
const SYNC_MS = 500;
/** From `stop` until what has not ended with its sources is ended by hand: the jitterbuffer's time and some. */
const FORCE_END_MS = JITTER_LATENCY_MS + 400;
/** From `stop` until the program gives up waiting. */
const STOP_DEADLINE_MS = 4000;
/** What a slow tap reader gets once the log is complete. */
const TAP_DRAIN_MS = 1500;

export class Engine {
  readonly tracks: Tracks;
  readonly #init: Init;
  readonly #program: Program;
  readonly #pipeline: Gst.Pipeline;
  readonly #log: LogBranch;
  readonly #taps: Tap[];
  readonly #emit: (event: PipelineEvent) => void;
  readonly #ended: (end: End) => void;
  #timers: (() => void)[] = [];
  #stopping = false;
  #done = false;

  /**
   * Builds the pipeline.
   * @param ended called once, when nothing is left to do
   * @throws Error if the init does not make a pipeline
   */
  constructor(init: Init, emit: (event: PipelineEvent) => void, ended: (end: End) => void) {
    this.#init = init;
    this.#emit = emit;
    this.#ended = ended;
    if (!GLib.file_test(init.log.dir, GLib.FileTest.IS_DIR))
      throw new Error(`the log's folder ${init.log.dir} does not exist`);
    this.#program = init.program === 'passthrough' ? new Passthrough(init) : new Composite(init);
    const pcm = init.program === 'composite' && init.tapFormat === 'pcm';
    const muxedTap = init.tap && !pcm ? `  fanout. ! ${tapSink(0)}` : '';
    const tail = `mux. ! tee name=fanout ! ${LOG_DESCRIPTION}${muxedTap}`;
    const pipeline = parsePipeline(`${this.#program.description}  ${tail}`);
    this.#pipeline = pipeline;
    // Each sink's end is told, not only that of all: an unread tap must not hold up the log's.
    pipeline.message_forward = true;
    this.#log = new LogBranch(pipeline, init.log, this.#program.cut, emit);
    const renditions = init.program === 'composite' ? (init.renditions ?? []) : [];
    const taps = [...(init.tap ? [0] : []), ...renditions.map((_, index) => index + 1)];
    this.#taps = taps.map(
      (index) => new Tap(pipeline, index, (message) => emit({ event: 'warning', message })),
    );
    this.#program.attach(pipeline);
    this.tracks = new Tracks(pipeline, this.#program, emit);
    watchBus(pipeline, (message) => this.#message(message));
  }

  /** @throws Error if the pipeline does not play */
  start(): void {
    this.#pipeline.use_clock(Gst.SystemClock.obtain());
    for (const tap of this.#taps) tap.open();
    this.#pipeline.set_state(Gst.State.PAUSED);
    // A later attempt goes on where the egress's clock is, not at zero; and what it took to come here has passed.
    const sinceMs = GLib.get_real_time() / 1000 - this.#init.epochMs;
    const originNs = Math.round(Math.max(0, sinceMs) * 1e6);
    this.#pipeline.set_start_time(originNs);
    this.#log.begin(originNs);
    if (this.#pipeline.set_state(Gst.State.PLAYING) === Gst.StateChangeReturn.FAILURE)
      throw new Error('the pipeline does not play');
    this.#program.started();
    this.#timers.push(
      every(TICK_MS, () => {
        if (!this.#stopping) this.tracks.watch();
        this.#program.tick(runningTime(this.#pipeline));
      }),
      every(SYNC_MS, () => this.tracks.sync()),
    );
  }

  get program(): Program {
    return this.#program;
  }

  /** Gives the pipeline its main tap while it plays; what is muxed from now on comes out of it. Again: nothing. */
  openTap(): void {
    const name = 'tap0';
    if (this.#stopping || this.#pipeline.get_by_name(name)) return;
    const sink = Gst.ElementFactory.make('proxysink', name);
    if (!sink) throw new Error('there is no proxysink');
    this.#pipeline.add(sink);
    const tap = new Tap(this.#pipeline, 0, (message) => this.#emit({ event: 'warning', message }));
    this.#taps.push(tap);
    tap.open();
    sink.sync_state_with_parent();
    const linked = requestPad(child(this.#pipeline, 'fanout'), 'src_%u').link(staticPad(sink, 'sink'));
    if (linked !== Gst.PadLinkReturn.OK) throw new Error('the tap cannot be linked');
  }

  chunking(minDurationNs: number): void {
    this.#log.setMinDuration(minDurationNs);
  }

  describe(): CommandResults['describe'] {
    return {
      elements: allElements(this.#pipeline).map((element) => ({
        name: element.get_name() ?? '',
        factory: element.get_factory()?.get_name() ?? '',
        klass: element.get_factory()?.get_metadata('klass') ?? '',
      })),
    };
  }

  /** Ends every source; the log is complete when `ended` is called. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#pipeline.send_event(Gst.Event.new_eos());
    this.#timers.push(
      after(FORCE_END_MS, () => this.#program.finish()),
      after(STOP_DEADLINE_MS, () => {
        this.#emit({ event: 'warning', message: 'the pipeline did not end in time and was cut off' });
        this.#finish({ ok: true });
      }),
    );
  }

  #message(message: Gst.Message): void {
    if (message.type === Gst.MessageType.ERROR) this.#failed(message);
    else if (message.type === Gst.MessageType.ELEMENT) this.#element(message);
  }

  #failed(message: Gst.Message): void {
    const [error, debug] = message.parse_error();
    const owner = this.tracks.ownerOf(message.src);
    const text = error?.message ?? 'unknown error';
    if (owner === null) return;
    if (owner !== undefined) {
      printerr(`track ${owner}: ${text} ${debug}`);
      const reason = /reason ([\w-]+)/.exec(debug)?.[1];
      const name = message.src.get_name() ?? 'receiver';
      const where = reason === undefined ? name : `${name}: ${reason}`;
      // While everything ends, a source that ends with an error has ended.
      if (!this.#stopping) this.tracks.fail(owner, `${text} (${where})`);
      return;
    }
    printerr(`${text} ${debug}`);
    this.#finish({ ok: false, message: text, element: message.src.get_name() ?? '' });
  }

  #element(message: Gst.Message): void {
    const structure = message.get_structure();
    if (!structure) return;
    if (structure.get_name() === 'GstMultiFileSink') this.#log.closed(structure);
    else if (structure.get_name() === 'GstBinForwarded') {
      const forwarded = structure.get_value('message') as Gst.Message;
      if (forwarded.type === Gst.MessageType.EOS && this.#log.owns(forwarded.src)) this.#logEnded();
    } else if (structure.get_name() === 'level') this.#level(message, structure);
  }

  #level(message: Gst.Message, structure: Gst.Structure): void {
    const trackId = this.tracks.ownerOf(message.src);
    const rms = voiceLevel(structure);
    if (trackId && rms !== undefined) this.#emit({ event: 'trackLevel', trackId, rms });
  }

  #logEnded(): void {
    let open = this.#taps.length;
    if (open === 0) {
      this.#finish({ ok: true });
      return;
    }
    this.#timers.push(after(TAP_DRAIN_MS, () => this.#closeTaps()));
    for (const tap of this.#taps) {
      tap.whenEnded(() => {
        open--;
        if (open === 0) this.#finish({ ok: true });
      });
    }
  }

  #closeTaps(): void {
    for (const tap of this.#taps) tap.close();
  }

  #finish(end: End): void {
    if (this.#done) return;
    this.#done = true;
    for (const cancel of this.#timers) cancel();
    this.#closeTaps();
    this.tracks.close();
    this.#pipeline.set_state(Gst.State.NULL);
    this.#drainBus();
    this.#log.closeRest();
    this.#ended(end);
  }

  /** Chunks that were closed but not yet heard of. */
  #drainBus(): void {
    const bus = this.#pipeline.get_bus();
    bus.remove_watch();
    for (;;) {
      const message = bus.pop_filtered(Gst.MessageType.ELEMENT);
      if (!message) return;
      const structure = message.get_structure();
      if (structure?.get_name() === 'GstMultiFileSink') this.#log.closed(structure);
    }
  }
}
