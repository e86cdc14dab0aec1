/** A pipeline process with a log of its own, and what tests ask of it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { PipelineHost } from '../../src/pipeline/host.ts';
import type { CompositeInit, PassthroughInit, PipelineEvent } from '../../pipelines/shared/protocol.ts';
import { silentLogger } from './sfu.ts';

export const AAC = { codec: 'aac', bitrate: 128, frequency: 48_000, channels: 2 } as const;

export const X264 = {
  codec: 'h264',
  profile: 'main',
  width: 640,
  height: 360,
  framerate: 30,
  bitrate: 1500,
  keyFrameInterval: 2,
  preset: 'superfast',
  background: '#000000',
} as const;

type EventOf<E extends PipelineEvent['event']> = Extract<PipelineEvent, { event: E }>;
type ProgramInit =
  Omit<PassthroughInit, 'log' | 'tap' | 'epochMs'> | Omit<CompositeInit, 'log' | 'tap' | 'epochMs'>;

export interface TestPipelineOptions {
  container?: 'mpegts' | 'matroska';
  tap?: boolean;
  /** Keep the taps' bytes in {@link TestPipeline.taps}. */
  keepTaps?: boolean;
  soundChunkNs?: number;
  /** Wall clock of egress-clock zero, ms; now by default. */
  epochMs?: number;
  /** Folder of another pipeline's log, to go on in. */
  dir?: string;
  run?: number;
}

export class TestPipeline {
  readonly events: PipelineEvent[] = [];
  tapBytes = 0;
  /** What came from each tap, where it is kept. */
  readonly taps = new Map<number, Buffer[]>();
  readonly #extension: string;
  readonly host: PipelineHost;
  readonly dir: string;

  static async start(init: ProgramInit, options: TestPipelineOptions = {}): Promise<TestPipeline> {
    const { container = 'mpegts', tap = true, run = 0 } = options;
    const host = await PipelineHost.start({ logger: silentLogger });
    const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'sluice-pipeline-')));
    const extension = container === 'mpegts' ? 'ts' : 'mkv';
    const pipeline = new TestPipeline(host, dir, extension, options);
    try {
      const { soundChunkNs } = options;
      const pattern = `r${run}-%06d.${extension}`;
      const log = { dir, pattern, container, ...(soundChunkNs !== undefined && { soundChunkNs }) };
      const { epochMs = Date.now() } = options;
      await host.send({ cmd: 'init', ...init, epochMs, log, tap });
      await host.send({ cmd: 'start' });
      return pipeline;
    } catch (error) {
      await pipeline.close();
      throw error;
    }
  }

  private constructor(
    host: PipelineHost,
    dir: string,
    extension: string,
    options: Pick<TestPipelineOptions, 'keepTaps'>,
  ) {
    this.host = host;
    this.dir = dir;
    this.#extension = extension;
    host.onEvent((event) => this.events.push(event));
    host.onTap((data, tap) => {
      if (tap === 0) this.tapBytes += data.length;
      if (options.keepTaps) this.taps.set(tap, [...(this.taps.get(tap) ?? []), data]);
    });
  }

  of<E extends PipelineEvent['event']>(name: E): EventOf<E>[] {
    return this.events.filter((event): event is EventOf<E> => event.event === name);
  }

  /** Waits until an event is there. @throws Error if it is not within `timeoutMs` */
  async until(
    found: (events: readonly PipelineEvent[]) => boolean,
    what: string,
    timeoutMs = 15_000,
  ): Promise<void> {
    for (const deadline = performance.now() + timeoutMs; !found(this.events);) {
      if (performance.now() > deadline) throw new Error(`no ${what} within ${timeoutMs} ms`);
      if (!this.host.running)
        throw new Error(`the pipeline is gone (${this.host.exitReason ?? ''}) before ${what}`);
      await sleep(20);
    }
  }

  /** The chunks joined byte by byte, as the log's views do it. @returns a file */
  async joined(name = 'joined'): Promise<string> {
    const file = join(this.dir, `${name}.${this.#extension}`);
    const files = this.of('chunk').map((chunk) => join(this.dir, chunk.file));
    await writeFile(file, Buffer.concat(await Promise.all(files.map((each) => readFile(each)))));
    return file;
  }

  /** Ends it in order. @returns why it is gone */
  stop(): Promise<string> {
    return this.host.stop(8000);
  }

  async close(): Promise<void> {
    await this.host.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
