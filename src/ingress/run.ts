/**
 * One run: one connection to the source, one pipeline, and the tracks they are in the room. When any of them ends, the
 * run does, and nothing of it is left.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { IngressInfo, InputAudioState, InputVideoState, TrackInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { IngressEvent } from '../../pipelines/shared/ingress-protocol.ts';
import type { BridgeClient } from '../bridge/client.ts';
import type { InputEnd } from './inputs/types.ts';
import { KeyFrames } from './key-frames.ts';
import { Formats, audioState, videoState } from './measured.ts';
import { resized } from './outputs.ts';
import type { RunOutputs } from './outputs.ts';
import { publishAll, unpublishAll } from './publications.ts';
import type { MediaPath, Publication } from './publications.ts';
import type { RunPipeline, RunSource } from './source.ts';

export type RunEnd =
  | InputEnd
  /** The pipeline is gone without having been asked. */
  | { type: 'died'; reason: string };

export interface RunOptions {
  source: RunSource;
  pipeline: RunPipeline;
  outputs: RunOutputs;
  bridge: BridgeClient;
  path: MediaPath;
  info: IngressInfo;
  logger: Logger;
  /** The first packet of a kind has gone to the room. */
  onFlowing: () => void;
  /** Aborting it ends a run that is still starting. */
  signal: AbortSignal;
}

/** How long what has been read may take to be played after a live source has ended, ms. */
const LIVE_DRAIN_MS = 2000;
/** The same for what is played at its own pace: a pipe full of sound of few bits is a minute. */
const PACED_DRAIN_MS = 90_000;
/** The pipeline has played everything, and its source has not said yet how it ended. */
const END_DELAY_MS = 2000;

export class Run {
  readonly #options: RunOptions;
  readonly #publications: Publication[] = [];
  readonly #formats = new Formats();
  readonly #end = Promise.withResolvers<RunEnd>();
  readonly #eos = Promise.withResolvers<undefined>();
  #played = false;
  readonly #closing = new AbortController();
  readonly #keyFrames: KeyFrames | undefined;
  #closed: Promise<void> | undefined;

  /**
   * Takes source and pipeline over, and closes them when it fails.
   * @throws PipelineCommandError, BridgeRequestError
   */
  static async start(options: RunOptions): Promise<Run> {
    const run = new Run(options);
    const abort = (): void => void options.pipeline.kill();
    options.signal.addEventListener('abort', abort, { once: true });
    try {
      options.signal.throwIfAborted();
      await run.#start();
      return run;
    } catch (error) {
      await run.close();
      throw error;
    } finally {
      options.signal.removeEventListener('abort', abort);
    }
  }

  private constructor(options: RunOptions) {
    this.#options = options;
    const { pipeline, source, bridge, path, logger } = options;
    const isOurs = (id: string) => this.#publications.some(({ publicationId }) => publicationId === id);
    this.#keyFrames = path.srtp ? new KeyFrames(bridge, pipeline, isOurs, logger) : undefined;
    pipeline.onEvent((event) => this.#onEvent(event));
    pipeline.onExit((reason) => {
      // One that has played everything may go.
      if (!this.#played) this.#end.resolve({ type: 'died', reason });
    });
    bridge.onClose(() => this.#end.resolve({ type: 'lost', reason: 'the connection to the room was lost' }));
    void source.ended.then((end) => this.#onSourceEnded(end));
    void this.#eos.promise.then(async () => {
      await this.#wait(END_DELAY_MS);
      this.#end.resolve({ type: 'lost', reason: 'the stream ended' });
    });
  }

  /** Settles when the run has to be closed; never rejects. */
  get ended(): Promise<RunEnd> {
    return this.#end.promise;
  }

  get tracks(): TrackInfo[] {
    return this.#publications.map(({ track }) => track);
  }

  /** When anything last came of the source (performance.now(), ms). */
  get heardAt(): number {
    return this.#options.source.heardAt;
  }

  get video(): InputVideoState | undefined {
    return videoState(this.#options.source, this.#formats);
  }

  get audio(): InputAudioState | undefined {
    return audioState(this.#options.source, this.#formats);
  }

  /** Unpublishes its tracks and ends everything it owns. Never throws. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #start(): Promise<void> {
    const { source, pipeline, outputs, bridge, path, info } = this.#options;
    const cname = bridge.joined.participantId;
    const { video, audio } = outputs;
    await pipeline.init({ input: source.input, pacing: source.pacing, video, audio, cname });
    await source.attach(pipeline);
    await publishAll({ bridge, pipeline, path, info, source, video, audio, cname }, this.#publications);
    await pipeline.start();
    await source.flow(pipeline);
  }

  #onEvent(event: IngressEvent): void {
    const { logger, onFlowing } = this.#options;
    switch (event.event) {
      case 'inputFormat':
        this.#formats.saw(event);
        if (event.kind === 'video' && event.width && event.height) {
          this.#resize({ width: event.width, height: event.height });
        }
        break;
      case 'flowing':
        onFlowing();
        break;
      case 'eos':
        this.#played = true;
        this.#eos.resolve(undefined);
        break;
      case 'warning':
        logger.debug({ message: event.message }, 'pipeline warning');
        break;
      case 'ready':
      case 'error':
        // An error is told by the exit that follows it.
        break;
    }
  }

  /** Layers are never larger than the source: they follow when its size changes. */
  #resize(size: { width: number; height: number }): void {
    const { outputs, info, pipeline, logger } = this.#options;
    const sizes = resized(info, outputs.video, size);
    if (outputs.video?.mode !== 'encode' || !sizes) return;
    outputs.video.layers.forEach((layer, at) => Object.assign(layer, sizes[at]));
    logger.info({ ...size, layers: sizes }, 'source changed its size');
    pipeline.setLayerSizes(sizes).catch((error: unknown) => {
      logger.warn({ err: error }, 'layers not resized');
    });
  }

  async #onSourceEnded(end: InputEnd): Promise<void> {
    // A live source that broke off has nothing in the pipe worth waiting for.
    if (end.type === 'complete' || this.#options.source.pacing === 'timestamps') {
      const drainMs = this.#options.source.pacing === 'timestamps' ? PACED_DRAIN_MS : LIVE_DRAIN_MS;
      await Promise.race([this.#eos.promise, this.#end.promise, this.#wait(drainMs)]);
    }
    this.#end.resolve(end);
  }

  /** Ends early when the run is closed. */
  async #wait(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  async #close(): Promise<void> {
    const { source, pipeline, bridge, logger } = this.#options;
    this.#closing.abort();
    this.#keyFrames?.close();
    const results = await Promise.allSettled([
      unpublishAll(bridge, this.#publications),
      source.close(),
      pipeline.kill(),
    ]);
    for (const result of results) {
      if (result.status === 'rejected') logger.warn({ err: result.reason as unknown }, 'run not closed well');
    }
  }
}
