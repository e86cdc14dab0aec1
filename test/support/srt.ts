/** SRT peers for tests: srt-live-transmit, fed with a clip at its own pace, in a loop. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';

export interface SrtSenderOptions {
  /** `caller` calls, `listener` waits to be called. */
  mode: 'caller' | 'listener';
  port: number;
  /** An MPEG-TS file. */
  clip: string;
  passphrase?: string;
  streamId?: string;
}

export interface SrtSender {
  /** What srt-live-transmit wrote. */
  readonly said: string;
  readonly running: boolean;
  stop(): Promise<void>;
}

export function startSrtSender({ mode, port, clip, passphrase, streamId }: SrtSenderOptions): SrtSender {
  // It takes its parameters as they are written, percent signs and all.
  const parameters = [
    `mode=${mode}`,
    ...(passphrase === undefined ? [] : [`passphrase=${passphrase}`]),
    ...(streamId === undefined ? [] : [`streamid=${streamId}`]),
  ].join('&');
  const feeder = spawn(
    'ffmpeg',
    [
      '-v',
      'error',
      '-nostdin',
      '-re',
      '-stream_loop',
      '-1',
      '-i',
      clip,
      '-c',
      'copy',
      '-f',
      'mpegts',
      'pipe:1',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const sender = spawn(
    'srt-live-transmit',
    ['-chunk:1316', '-loglevel:note', 'file://con', `srt://127.0.0.1:${port}?${parameters}`],
    { stdio: [feeder.stdout, 'pipe', 'pipe'] },
  );
  let said = '';
  const keep = (data: Buffer): void => void (said = (said + data.toString()).slice(-8000));
  sender.stdout?.on('data', keep);
  sender.stderr?.on('data', keep);
  return {
    get said() {
      return said;
    },
    get running() {
      return isRunning(sender);
    },
    async stop() {
      await Promise.all([end(sender), end(feeder)]);
    },
  };
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || !isRunning(child)) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

export interface SrtReceiver {
  readonly port: number;
  readonly said: string;
  /** Ends it as a machine that loses its power would. */
  kill(): Promise<void>;
}

/** Listens, and writes what it gets into a file. */
export function startSrtReceiver(port: number, file: string, passphrase?: string): SrtReceiver {
  const secret = passphrase === undefined ? '' : `&passphrase=${passphrase}`;
  const output = openSync(file, 'w');
  const receiver = spawn(
    'srt-live-transmit',
    ['-chunk:1316', '-loglevel:note', `srt://127.0.0.1:${port}?mode=listener${secret}`, 'file://con'],
    { stdio: ['ignore', output, 'pipe'] },
  );
  closeSync(output);
  let said = '';
  receiver.stderr?.on('data', (data: Buffer) => (said = (said + data.toString()).slice(-8000)));
  return {
    port,
    get said() {
      return said;
    },
    kill: () => end(receiver),
  };
}
