/** A real source of a test's own: FFmpeg writes FLV or Matroska into a pipe, at its own pace or as fast as it is read. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type { Input, InputConnection, InputEnd, InputVideo } from '../../src/ingress/inputs/types.ts';

export interface ClipOptions {
  /** Seconds; without: endless. */
  seconds?: number;
  size?: { width: number; height: number };
  pacing?: 'arrival' | 'timestamps';
  bFrames?: boolean;
}

const FRAME_RATE = 25;

export class ClipInput implements Input {
  readonly #options: ClipOptions;
  /** Newest last. */
  readonly connections: ClipConnection[] = [];

  constructor(options: ClipOptions = {}) {
    this.#options = options;
  }

  get running(): number {
    return this.connections.filter(({ running }) => running).length;
  }

  async connect(): Promise<InputConnection> {
    const connection = new ClipConnection(this.#options);
    this.connections.push(connection);
    return connection;
  }

  /** The source breaks off in the middle. */
  break(): void {
    this.connections.at(-1)?.break();
  }
}

export class ClipConnection implements InputConnection {
  readonly container = 'flv';
  readonly pacing: 'arrival' | 'timestamps';
  readonly video: InputVideo;
  readonly audio = { codec: 'aac', sampleRate: 44_100, channels: 2 };
  readonly data: Readable;
  readonly #end = Promise.withResolvers<InputEnd>();
  readonly #child: ChildProcess;

  constructor({
    seconds,
    size = { width: 640, height: 360 },
    pacing = 'arrival',
    bFrames = false,
  }: ClipOptions) {
    this.pacing = pacing;
    this.video = {
      codec: 'h264',
      profile: bFrames ? 'High' : 'Constrained Baseline',
      ...size,
      rotation: 0,
      framerate: FRAME_RATE,
      bFrames,
    };
    const length = seconds === undefined ? [] : ['-t', String(seconds)];
    const x264 = bFrames ? ['-profile:v', 'high', '-bf', '2'] : ['-profile:v', 'baseline', '-bf', '0'];
    const child = spawn(
      'ffmpeg',
      [
        ...['-nostdin', '-loglevel', 'error', ...(pacing === 'arrival' ? ['-re'] : [])],
        ...['-f', 'lavfi', '-i', `testsrc=size=${size.width}x${size.height}:rate=${FRAME_RATE}`],
        ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=44100', ...length],
        ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '25', ...x264],
        ...['-b:v', '500k', '-c:a', 'aac', '-ac', '2', '-f', 'flv', 'pipe:1'],
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    this.#child = child;
    this.data = child.stdout;
    this.data.on('end', () => this.#end.resolve({ type: 'complete' }));
    child.on('exit', (code) => {
      if (code !== 0) this.#end.resolve({ type: 'lost', reason: 'the clip broke off' });
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get ended(): Promise<InputEnd> {
    return this.#end.promise;
  }

  measures() {
    const { width, height } = this.video;
    return {
      video: { bitrate: 500_000, framerate: FRAME_RATE, width, height },
      audio: { bitrate: 128_000 },
    };
  }

  break(): void {
    this.#end.resolve({ type: 'lost', reason: 'the clip broke off' });
    this.#child.kill('SIGKILL');
  }

  async close(): Promise<void> {
    this.data.destroy();
    if (!this.running) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
