/** A GStreamer pipeline as a process of its own, for what a bench holds Sluice against. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { spent, usage } from './processes.ts';
import type { Usage } from './processes.ts';

const NOTHING: Usage = { live: new Map(), ended: 0 };

/** Text of a source that gives out raw I420 pictures of a file; a sink with `sync=true` paces it. */
export function rawPictures(
  file: string,
  { width, height, framerate }: { width: number; height: number; framerate: number },
): string {
  return (
    `filesrc location=${file} blocksize=${(width * height * 3) / 2} ! ` +
    `rawvideoparse format=i420 width=${width} height=${height} framerate=${framerate}/1 ! queue max-size-buffers=4`
  );
}

export class PacedGst {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(description: string): Promise<PacedGst> {
    const child = spawn('gst-launch-1.0', ['-q', ...description.split(' ')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await once(child, 'spawn');
    return new PacedGst(child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** CPU seconds used so far. */
  cpu(): number {
    return spent(NOTHING, usage([this.pid])).total;
  }

  /** @throws when it has ended: what was measured is not what was meant */
  assertRunning(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null)
      throw new Error('the GStreamer process ended while it was measured');
  }

  /** Safe to call twice. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
