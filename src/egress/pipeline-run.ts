/** One run of an egress's pipeline process: the program, its feeds and, for a composite, its canvas. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import type { PipelineHost } from '../pipeline/host.ts';
import type { Init, LogTarget, PipelineEvent } from '../../pipelines/shared/protocol.ts';
import { CanvasKeeper } from './composition/canvas.ts';
import { Feeds } from './room/feeds.ts';
import type { EgressPlan } from './plan/types.ts';
import { ProgramProcess } from './program-process.ts';
import type { Program } from './program.ts';
import type { WantedTrack } from './room/selection.ts';
import type { Surface } from '../web-source/index.ts';
import type { Stage } from './composition/stage.ts';

const AUDIO_COPY_MIME = 'audio/opus';
/** The one codec that is copied of a participant, whatever they publish next. */
const FOLLOWED_VIDEO_MIME = 'video/H264';
/** How often it is looked whether media comes, ms. */
const FLOW_POLL_MS = 30;

/** Where a tap's bytes come from. */
export interface TapOrigin {
  /** 0: the main tap; from 1 on, those of the plan's renditions. */
  tap: number;
  /** Run of the pipeline: the bytes of another one are another stream. */
  run: number;
}

export interface PipelineRunOptions {
  /** Undefined: there is no room; see page-run.ts. */
  bridge: BridgeClient | undefined;
  /** Where the page is shown that is recorded instead of a room's tracks. */
  page?: (() => Promise<Surface>) | undefined;
  plan: EgressPlan;
  /** What a composite shows; it outlives this run. */
  stage: Stage;
  program: Program;
  /** Tracks at the start. */
  wanted: readonly WantedTrack[];
  /** It takes none of them yet: the egress is paused. */
  idle?: boolean;
  log: LogTarget;
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  /** Address the SFU sends RTP to. */
  address: string;
  portRange: { min: number; max: number } | undefined;
  srtp: boolean;
  logger: Logger;
  onEvent: (event: PipelineEvent) => void;
  onTap: (data: Buffer, tap: number) => void;
  /** The process is gone without having been asked. */
  onDied: (reason: string) => void;
}

/** Sound alone has no keyframes to be cut at: a chunk is a segment, so that segments are as long as was asked for. */
function soundChunks({ video, outputs }: EgressPlan): Pick<LogTarget, 'soundChunkNs'> {
  const segments = outputs.find((output) => output.type === 'segments');
  return video || !segments ? {} : { soundChunkNs: segments.segmentDuration * 1e9 };
}

/** The `init` command of a program. Pure. */
export function initFor({
  plan,
  program,
  wanted,
  log,
  epochMs,
  stage: { background },
}: Pick<PipelineRunOptions, 'plan' | 'program' | 'wanted' | 'log' | 'epochMs'> & {
  stage: Pick<Stage, 'background'>;
}): Init {
  // A tap nobody reads would cost a thread in the pipeline and half of what Node does for a recording.
  const streams = plan.outputs.filter((output) => output.type === 'stream');
  const tap = streams.length > 0;
  const live = plan.outputs.some((output) => output.type === 'segments' && output.lowLatency);
  const common = { epochMs, log: { ...log, ...soundChunks(plan) }, tap, ...(live && { live }) };
  if (program.program === 'composite') {
    return {
      ...common,
      program: 'composite',
      video: plan.video && { ...plan.video, background },
      audio: plan.audio,
      ...(streams.some(({ protocol }) => protocol === 'websocket') && { tapFormat: 'pcm' as const }),
      ...(plan.renditions && { renditions: plan.renditions }),
      // One picture needs nobody to choose it.
      levels: plan.source.type === 'room' && plan.video !== null,
    };
  }
  const mimeType = (kind: 'audio' | 'video') =>
    wanted.find(({ track }) => track.kind === kind)?.track.mimeType;
  // What is followed may come later, or be away just when a pipeline is started again.
  const follows = plan.source.type !== 'tracks';
  const video = follows && plan.video ? FOLLOWED_VIDEO_MIME : mimeType('video');
  const hasAudio = follows ? plan.audio !== null : mimeType('audio') !== undefined;
  return {
    ...common,
    program: 'passthrough',
    video: video === undefined ? null : { mimeType: video },
    audio: !hasAudio
      ? null
      : program.copyAudio
        ? { mode: 'copy', mimeType: AUDIO_COPY_MIME }
        : plan.audio && { mode: 'encode', encoding: plan.audio },
  };
}

export class PipelineRun {
  readonly feeds: Feeds;
  readonly #host: PipelineHost;
  readonly #process: ProgramProcess;
  readonly #program: Program;
  readonly #hasPicture: boolean;
  readonly #canvas: CanvasKeeper | undefined;
  #wanted: readonly WantedTrack[] = [];
  /** Tracks whose media has come. */
  readonly #seen = new Set<string>();

  /** Starts the program on a process that has just come up. @throws when it cannot play. */
  static async start(host: PipelineHost, options: PipelineRunOptions): Promise<PipelineRun> {
    const run = new PipelineRun(host, options);
    try {
      await run.#process.begin(initFor(options));
      run.sync(options.idle ? [] : options.wanted);
      return run;
    } catch (error) {
      await run.kill();
      throw error;
    }
  }

  private constructor(host: PipelineHost, options: PipelineRunOptions) {
    this.#host = host;
    const { bridge, plan, program, address, portRange, srtp, logger } = options;
    if (!bridge) throw new TypeError('tracks come over the bridge: join the room first');
    this.#program = program;
    this.#hasPicture = plan.video !== null;
    this.#process = new ProgramProcess(host, options);
    this.feeds = new Feeds({
      bridge,
      host,
      address,
      portRange,
      srtp,
      copyVideo: program.program === 'passthrough',
      logger,
      onChange: () => {
        this.#canvas?.update(this.#wanted);
        this.#logCodecs(logger);
      },
    });
    if (program.program === 'composite' && plan.video) {
      this.#canvas = new CanvasKeeper({
        size: plan.video,
        stage: options.stage,
        bridge,
        host,
        feeds: this.feeds,
        logger,
      });
    }
    host.onEvent((event) => {
      this.#canvas?.onPipelineEvent(event);
      if (event.event === 'trackFormat') this.#seen.add(event.trackId);
      if (event.event === 'trackError') this.feeds.failed(event.trackId, event.message);
      options.onEvent(event);
    });
    host.onTap(options.onTap);
  }

  /** Of the pipeline's process, while it runs. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Makes the feeds and the picture what `wanted` says. */
  sync(wanted: readonly WantedTrack[]): void {
    this.#wanted = wanted;
    const ids = new Set(wanted.map(({ track }) => track.trackId));
    for (const trackId of this.#seen) if (!ids.has(trackId)) this.#seen.delete(trackId);
    this.feeds.sync(wanted);
    this.#canvas?.update(wanted);
  }

  /** Resolves when media of every track has come that is wanted and not muted; at the latest after `deadlineMs`. */
  async flowing(wanted: readonly WantedTrack[], deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    const comes = ({ track: { trackId } }: WantedTrack) =>
      this.#seen.has(trackId) || this.feeds.get(trackId)?.subscription.producerPaused === true;
    while (!this.#process.stopping && !wanted.every(comes) && Date.now() < deadline)
      await delay(FLOW_POLL_MS);
  }

  /** Gives the running pipeline a tap: something is to be streamed that was not from the beginning. */
  openTap(): Promise<void> {
    return this.#process.openTap();
  }

  /** Asks for a keyframe: a chunk begins there. */
  cut(): void {
    if (this.#program.program === 'passthrough') this.feeds.requestKeyFrames();
    else if (this.#hasPicture) this.#process.requestKeyFrame();
  }

  /** Flushes what was received into the log and ends the process; kills it after `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    await this.#process.stop(deadlineMs);
    await this.#letGo();
  }

  /** Ends the process at once. */
  async kill(): Promise<void> {
    await this.#process.kill();
    await this.#letGo();
  }

  /** What decodes and encodes video at the moment, as the program itself tells: that a copy is a copy can be seen. */
  #logCodecs(logger: Logger): void {
    if (this.#process.stopping || !logger.isLevelEnabled('debug')) return;
    this.#host.send({ cmd: 'describe' }).then(
      ({ elements }) => {
        const ofClass = (klass: string) =>
          elements.filter((element) => element.klass.includes(klass)).map(({ factory }) => factory);
        logger.debug(
          {
            elements: elements.length,
            videoDecoders: ofClass('Decoder/Video'),
            videoEncoders: ofClass('Encoder/Video'),
          },
          'pipeline elements',
        );
      },
      (error: unknown) => logger.debug({ err: error }, 'pipeline not described'),
    );
  }

  async #letGo(): Promise<void> {
    this.#canvas?.close();
    await this.feeds.close();
  }
}

/** What a recorder needs of a run. */
export type RunningPipeline = Pick<
  PipelineRun,
  'pid' | 'sync' | 'flowing' | 'cut' | 'openTap' | 'stop' | 'kill'
> & {
  /** Where what is recorded is no tracks that could be let go of: nothing of it is to be seen or heard. Never throws. */
  hide?: (hidden: boolean) => Promise<void>;
};

export type PipelineRunFactory = (options: PipelineRunOptions) => Promise<RunningPipeline>;
