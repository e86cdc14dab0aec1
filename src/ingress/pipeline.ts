/**
 * One run's pipeline: the ingress program, spoken to. Order: `init`, `bind` for each kind (for an `rtp` input
 * `bindInput` too), publishing over the bridge, `connect` (and `connectInput`), `start`, then bytes to {@link IngressPipeline.input}.
 */
import type { Writable } from 'node:stream';
import type { Logger } from 'pino';
import type {
  IngressCommand,
  IngressCommandResults,
  IngressEvent,
  IngressInit,
} from '../../pipelines/shared/ingress-protocol.ts';
import { PipelineHost } from '../pipeline/host.ts';
import { ingressProtocol, type IngressTypes } from '../pipeline/ingress-protocol.ts';
import { PipelinePool } from '../pipeline/pool.ts';

export type MediaKind = 'audio' | 'video';

/** Where to bind; without both bounds the kernel chooses the port. */
export interface BindAddress {
  /** Local address. */
  ip: string;
  portMin?: number;
  portMax?: number;
}

type Without<C extends IngressCommand['cmd']> = Omit<Extract<IngressCommand, { cmd: C }>, 'cmd' | 'kind'>;

/** Keeps one ingress program up for whoever comes next. */
export function ingressPool(options: { logger: Logger }): PipelinePool<IngressTypes> {
  return new PipelinePool(ingressProtocol, options);
}

export class IngressPipeline {
  readonly #host: PipelineHost<IngressTypes>;
  readonly #onInit: (init: IngressInit) => void;

  /** Starts a process. @throws Error if it does not come up */
  static async start(options: { logger: Logger }): Promise<IngressPipeline> {
    return new IngressPipeline(await PipelineHost.startProgram(ingressProtocol, options));
  }

  /**
   * @param host a process that was not initialised yet, owned by this from here on
   * @param onInit told what it is to do, once that is known
   */
  constructor(host: PipelineHost<IngressTypes>, onInit: (init: IngressInit) => void = () => undefined) {
    this.#host = host;
    this.#onInit = onInit;
  }

  get pid(): number | undefined {
    return this.#host.pid;
  }

  get running(): boolean {
    return this.#host.running;
  }

  /** Resident memory as of the last ping, bytes. */
  get rssBytes(): number {
    return this.#host.rssBytes;
  }

  /**
   * Takes the container's bytes; to be written with backpressure, and ended when the source ends. It has an error
   * listener, and when the process is gone it is destroyed: that is told by {@link onExit}.
   */
  get input(): Writable {
    return this.#host.input;
  }

  /** All of these throw PipelineCommandError if the program refuses, does not answer in 10 s or is gone. */
  async init(init: IngressInit): Promise<void> {
    this.#onInit(init);
    await this.#host.send({ cmd: 'init', ...init });
  }

  /** Binds the socket a kind is sent from. @returns its port */
  async bind(kind: MediaKind, address: BindAddress): Promise<number> {
    return (await this.#host.send({ cmd: 'bind', kind, ...address })).port;
  }

  /** Says where a kind goes. */
  async connect(kind: MediaKind, target: Without<'connect'>): Promise<void> {
    await this.#host.send({ cmd: 'connect', kind, ...target });
  }

  /** `rtp` input: binds the socket a kind is received on. @returns its port */
  async bindInput(kind: MediaKind, address: BindAddress): Promise<number> {
    return (await this.#host.send({ cmd: 'bindInput', kind, ...address })).port;
  }

  /** `rtp` input: says what arrives there. */
  async connectInput(kind: MediaKind, source: Without<'connectInput'>): Promise<void> {
    await this.#host.send({ cmd: 'connectInput', kind, ...source });
  }

  /** Answered when the pipeline takes bytes. */
  async start(): Promise<void> {
    await this.#host.send({ cmd: 'start' });
  }

  /** @param sizes as many as there are layers, smallest first, even */
  async setLayerSizes(sizes: { width: number; height: number }[]): Promise<void> {
    await this.#host.send({ cmd: 'layerSizes', sizes });
  }

  /** Has every layer begin anew with a keyframe. Nothing happens where video is copied. */
  async keyFrame(): Promise<void> {
    await this.#host.send({ cmd: 'keyFrame' });
  }

  /** Every element that runs. */
  async describe(): Promise<IngressCommandResults['describe']> {
    return this.#host.send({ cmd: 'describe' });
  }

  /** Calls back with every event. @returns stops it */
  onEvent(listener: (event: IngressEvent) => void): () => void {
    return this.#host.onEvent(listener);
  }

  /** Calls back once the process is gone, at once if it is; with the `error` event's message if there was one. */
  onExit(listener: (reason: string) => void): () => void {
    return this.#host.onExit(listener);
  }

  /** Ends it in order, by force after `deadlineMs`; what is in the pipe is not played. @returns why it is gone */
  stop(deadlineMs = 2000): Promise<string> {
    return this.#host.stop(deadlineMs);
  }

  /** Ends it at once. @returns why it is gone */
  kill(): Promise<string> {
    return this.#host.kill();
  }
}
