/** One run of an egress's pipeline process: the program, its feeds and, for a composite, its canvas. */
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import type { PipelineHost } from '../pipeline/host.ts';
import type { Init, LogTarget, PipelineEvent } from '../../pipelines/shared/protocol.ts';
import { CanvasKeeper } from './canvas.ts';
import { Feeds } from './feeds.ts';
import type { EgressPlan } from './plan-types.ts';
import type { Program } from './program.ts';
import type { WantedTrack } from './selection.ts';
import type { Background, Stage } from './stage.ts';

const AUDIO_COPY_MIME = 'audio/opus';

export interface PipelineRunOptions {
  bridge: BridgeClient;
  plan: EgressPlan;
  /** What a composite shows; it outlives this run. */
  stage: Stage;
  program: Program;
  /** Tracks at the start. */
  wanted: readonly WantedTrack[];
  log: LogTarget;
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  /** Address the SFU sends RTP to. */
  address: string;
  portRange: { min: number; max: number } | undefined;
  srtp: boolean;
  logger: Logger;
  onEvent: (event: PipelineEvent) => void;
  onTap: (data: Buffer) => void;
  /** The process is gone without having been asked. */
  onDied: (reason: string) => void;
}

/** The `init` command of a program. Pure. */
export function initFor(
  plan: EgressPlan,
  program: Program,
  wanted: readonly WantedTrack[],
  log: LogTarget,
  background: Background,
): Init {
  // A tap nobody reads would cost a thread in the pipeline and half of what Node does for a recording.
  const tap = plan.outputs.some(({ type }) => type === 'stream');
  const common = { clockOffsetNs: 0, log, tap };
  if (program.program === 'composite') {
    return {
      ...common,
      program: 'composite',
      video: plan.video && { ...plan.video, background },
      audio: plan.audio,
      // One picture needs nobody to choose it.
      levels: plan.source.type === 'room' && plan.video !== null,
    };
  }
  const mimeType = (kind: 'audio' | 'video') =>
    wanted.find(({ track }) => track.kind === kind)?.track.mimeType;
  const video = mimeType('video');
  const hasAudio = mimeType('audio') !== undefined;
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
  readonly #canvas: CanvasKeeper | undefined;
  #wanted: readonly WantedTrack[] = [];
  #started = false;
  #stopping = false;

  /** Starts the program on a process that has just come up. @throws when it cannot play. */
  static async start(host: PipelineHost, options: PipelineRunOptions): Promise<PipelineRun> {
    const run = new PipelineRun(host, options);
    try {
      const init = initFor(
        options.plan,
        options.program,
        options.wanted,
        options.log,
        options.stage.background,
      );
      await host.send({
        cmd: 'init',
        ...init,
        clockOffsetNs: Math.max(0, Date.now() - options.epochMs) * 1e6,
      });
      await host.send({ cmd: 'start' });
      if (!host.running) throw new Error(`the pipeline died at its start: ${host.exitReason ?? ''}`);
      run.#started = true;
      run.sync(options.wanted);
      return run;
    } catch (error) {
      await run.kill();
      throw error;
    }
  }

  private constructor(host: PipelineHost, options: PipelineRunOptions) {
    this.#host = host;
    const { bridge, plan, program, address, portRange, srtp, logger } = options;
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
      if (event.event === 'trackError') this.feeds.failed(event.trackId, event.message);
      options.onEvent(event);
    });
    host.onTap(options.onTap);
    host.onExit((reason) => {
      // Before it has started, its death is start()'s to tell: nobody hears of it twice.
      if (this.#started && !this.#stopping) options.onDied(reason);
    });
  }

  /** Of the pipeline's process, while it runs. */
  get pid(): number | undefined {
    return this.#host.pid;
  }

  /** Makes the feeds and the picture what `wanted` says. */
  sync(wanted: readonly WantedTrack[]): void {
    this.#wanted = wanted;
    this.feeds.sync(wanted);
    this.#canvas?.update(wanted);
  }

  /** Flushes what was received into the log and ends the process; kills it after `deadlineMs`. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    await this.#host.stop(deadlineMs);
    await this.#letGo();
  }

  /** Ends the process at once. */
  async kill(): Promise<void> {
    this.#stopping = true;
    await this.#host.kill();
    await this.#letGo();
  }

  /** What decodes and encodes video at the moment, as the program itself tells: that a copy is a copy can be seen. */
  #logCodecs(logger: Logger): void {
    if (this.#stopping || !logger.isLevelEnabled('debug')) return;
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

export type PipelineRunFactory = (options: PipelineRunOptions) => Promise<PipelineRun>;
