/** An ingress program and what it sends, received by sockets of the test or by a real SFU. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline as pipe } from 'node:stream/promises';

import type {
  AudioOutput,
  IngressEvent,
  IngressInit,
  LayerSettings,
  VideoOutput,
} from '../../pipelines/shared/ingress-protocol.ts';
import { ffprobeFrames, type FrameInfo } from '../../src/demo/content/ffprobe.ts';
import { runTool } from '../../src/demo/content/tool.ts';
import { IngressPipeline, type MediaKind } from '../../src/ingress/pipeline.ts';
import type { types as ms } from 'mediasoup';
import { receiveParameters, sendParameters, transportTo } from './ingress-room.ts';
import { framesOf, type RtpFrame } from './rtp-frames.ts';
import { RtpReceiver } from './rtp-receiver.ts';
import { silentLogger, until } from './sfu.ts';

export const LAYERS: LayerSettings[] = [
  { width: 160, height: 90, bitrate: 80_000, ssrc: 1001 },
  { width: 320, height: 180, bitrate: 200_000, ssrc: 1002 },
  { width: 640, height: 360, bitrate: 600_000, ssrc: 1003 },
];

/** 30 pictures a second in three layers: small ones, as 720p takes four times the processor time. */
export const H264: VideoOutput = {
  mode: 'encode',
  codec: 'h264',
  payloadType: 96,
  framerate: 30,
  layers: LAYERS,
};

export const OPUS: AudioOutput = {
  mode: 'encode',
  codec: 'opus',
  payloadType: 111,
  ssrc: 2001,
  bitrate: 96_000,
  channels: 2,
  dtx: false,
};

/** FFmpeg makes `file` of lavfi sources. @param args what comes after the inputs */
export async function makeSource(
  file: string,
  inputs: readonly string[],
  args: readonly string[],
): Promise<void> {
  const sources = inputs.flatMap((input) => ['-f', 'lavfi', '-i', input]);
  await runTool('ffmpeg', ['-v', 'error', '-y', ...sources, ...args, file]);
}

export class IngressRig {
  readonly events: IngressEvent[] = [];
  readonly ports = new Map<MediaKind, number>();
  readonly receivers = new Map<MediaKind, RtpReceiver>();
  /** Of {@link subscribe}, paused. */
  readonly consumers: ms.Consumer[] = [];
  readonly pipeline: IngressPipeline;
  exitReason: string | undefined;
  readonly #init: IngressInit;
  #sender: ChildProcess | undefined;

  /** A process that has sockets, and waits for {@link connect} or {@link receive}. */
  static async start(init: Omit<IngressInit, 'cname'>): Promise<IngressRig> {
    const rig = new IngressRig(await IngressPipeline.start({ logger: silentLogger }), {
      ...init,
      cname: 'IN_test',
    });
    try {
      await rig.pipeline.init(rig.#init);
      for (const kind of rig.kinds) rig.ports.set(kind, await rig.pipeline.bind(kind, { ip: '127.0.0.1' }));
    } catch (error) {
      await rig.close();
      throw error;
    }
    return rig;
  }

  private constructor(pipeline: IngressPipeline, init: IngressInit) {
    this.pipeline = pipeline;
    this.#init = init;
    pipeline.onEvent((event) => this.events.push(event));
    pipeline.onExit((reason) => {
      this.exitReason = reason;
    });
  }

  get kinds(): MediaKind[] {
    return (['video', 'audio'] as const).filter((kind) => this.#init[kind]);
  }

  /** Has everything sent to sockets of the test, and starts. */
  async receive(): Promise<void> {
    for (const kind of this.kinds) {
      const receiver = await RtpReceiver.open();
      this.receivers.set(kind, receiver);
      await this.pipeline.connect(kind, { remote: { ip: '127.0.0.1', port: receiver.port } });
    }
    await this.pipeline.start();
  }

  /** Publishes everything in a router, and starts. */
  async publish(router: ms.Router, { srtp = false } = {}): Promise<Map<MediaKind, ms.Producer>> {
    const producers = new Map<MediaKind, ms.Producer>();
    for (const kind of this.kinds) {
      const output = this.#init[kind];
      if (!output) continue;
      const { transport, target } = await transportTo(router, this.ports.get(kind) ?? 0, srtp);
      producers.set(kind, await transport.produce({ kind, rtpParameters: sendParameters(output) }));
      await this.pipeline.connect(kind, target);
    }
    await this.pipeline.start();
    return producers;
  }

  /** Takes a producer for its `rtp` input; before {@link publish}. */
  async subscribe(router: ms.Router, producer: ms.Producer): Promise<void> {
    const { kind } = producer;
    const port = await this.pipeline.bindInput(kind, { ip: '127.0.0.1' });
    const { transport, target } = await transportTo(router, port, true);
    const { rtpCapabilities } = router;
    const consumer = await transport.consume({ producerId: producer.id, rtpCapabilities, paused: true });
    this.consumers.push(consumer);
    await this.pipeline.connectInput(kind, { ...receiveParameters(consumer), ...target });
  }

  /** Gives it the whole file as fast as it takes it. @returns settles when all has been taken, or it is gone */
  play(file: string): Promise<void> {
    return pipe(createReadStream(file), this.pipeline.input).catch(() => undefined);
  }

  /** FFmpeg sends the file at its own pace, as a live source does. */
  stream(file: string): void {
    const { input } = this.#init;
    if (input.type !== 'pipe') throw new Error('an rtp input has no pipe');
    const sender = spawn(
      'ffmpeg',
      [
        '-v',
        'error',
        '-re',
        '-i',
        file,
        '-c',
        'copy',
        '-flush_packets',
        '1',
        '-f',
        input.container,
        'pipe:1',
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    this.#sender = sender;
    sender.stdout.pipe(this.pipeline.input);
  }

  async until(
    what: string,
    found: (events: readonly IngressEvent[]) => boolean,
    timeoutMs = 20_000,
  ): Promise<void> {
    await until(
      what,
      () => {
        if (found(this.events)) return true;
        if (this.exitReason !== undefined)
          throw new Error(`the pipeline is gone (${this.exitReason}) before ${what}`);
        return false;
      },
      timeoutMs,
    );
  }

  /** Settles when everything has been sent and the process has ended. */
  async ended(timeoutMs = 20_000): Promise<void> {
    await this.until('eos', (events) => events.some(({ event }) => event === 'eos'), timeoutMs);
    await until('the exit', () => this.exitReason !== undefined);
  }

  /** H.264 pictures of one stream, in the order they came. */
  frames(ssrc: number): RtpFrame[] {
    return framesOf(this.receivers.get('video')?.packets.filter((packet) => packet.ssrc === ssrc) ?? []);
  }

  /** Brightness of a stream's tenth picture. */
  picture(ssrc: number): Promise<Buffer> {
    return this.#withStream(ssrc, async (file) => {
      const args = ['-vf', 'select=eq(n\\,9)', '-frames:v', '1', '-pix_fmt', 'gray', '-f', 'rawvideo'];
      await runTool('ffmpeg', ['-v', 'error', '-y', '-i', file, ...args, `${file}.gray`]);
      return readFile(`${file}.gray`);
    });
  }

  /** Pictures of one stream as a decoder sees them. */
  decoded(ssrc: number): Promise<FrameInfo[]> {
    return this.#withStream(ssrc, ffprobeFrames);
  }

  /** The matrix, primaries and transfer that one stream says its colours have. */
  colors(ssrc: number): Promise<string> {
    return this.#withStream(ssrc, async (file) => {
      const entries = 'stream=color_space,color_primaries,color_transfer';
      const args = ['-v', 'error', '-show_entries', entries, '-of', 'csv=p=0', file];
      return (await runTool('ffprobe', args)).stdout.trim();
    });
  }

  async #withStream<T>(ssrc: number, use: (file: string) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-ingress-'));
    const file = join(folder, 'layer.h264');
    try {
      await writeFile(file, Buffer.concat(this.frames(ssrc).map(({ data }) => data)));
      return await use(file);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {
    this.#sender?.kill('SIGKILL');
    await this.pipeline.kill();
    for (const receiver of this.receivers.values()) receiver.close();
  }
}
