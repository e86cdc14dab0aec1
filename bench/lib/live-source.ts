/** An encoder on site: pictures with a counter, drawn at their time, encoded by FFmpeg and pushed over RTMP. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Painter } from '../../pipelines/publisher/picture.ts';
import { COLORS } from '../../pipelines/publisher/signal.ts';

const FPS = 30;

export interface LiveSourceOptions {
  url: string;
  width: number;
  height: number;
  /** kbit/s. */
  bitrate: number;
}

export class LiveSource {
  readonly fps = FPS;
  readonly #child: ChildProcess;
  readonly #timer: NodeJS.Timeout;
  /** Wall clock of picture 0, ms. */
  readonly startedAtMs: number;

  /** Begins at once. x264 as it should be for live pictures: no B-frames, no lookahead. */
  constructor({ url, width, height, bitrate }: LiveSourceOptions) {
    this.#child = spawn(
      'ffmpeg',
      [
        ...['-v', 'error', '-nostdin', '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-s', `${width}x${height}`],
        ...['-r', String(FPS), '-i', 'pipe:0', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'],
        ...['-c:v', 'libx264', '-preset', 'superfast', '-tune', 'zerolatency', '-g', '30'],
        ...['-b:v', `${bitrate}k`, '-maxrate', `${bitrate}k`, '-bufsize', `${bitrate}k`],
        ...['-c:a', 'aac', '-b:a', '128k', '-shortest', '-flush_packets', '1', '-f', 'flv', url],
      ],
      { stdio: ['pipe', 'ignore', 'inherit'] },
    );
    this.#child.stdin?.on('error', () => undefined);
    const painter = new Painter(width, height, COLORS.red);
    this.startedAtMs = Date.now();
    let next = 0;
    this.#timer = setInterval(() => {
      for (; next * (1000 / FPS) <= Date.now() - this.startedAtMs; next++) {
        this.#child.stdin?.write(painter.draw(next, FPS).slice());
      }
    }, 2);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('FFmpeg did not start');
    return this.#child.pid;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
