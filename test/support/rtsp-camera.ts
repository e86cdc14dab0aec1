/** An IP camera for tests: gst-rtsp-server, with the codecs, transports and passwords that cameras have. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './ports.ts';

export interface RtspCameraOptions {
  /** Default h264. */
  codec?: 'h264' | 'h265' | 'mjpeg' | 'none';
  /** Default aac. */
  audio?: 'aac' | 'pcmu' | 'pcma' | 'none';
  /** Without a user, anybody may watch. */
  user?: string;
  password?: string;
  /** Default digest. */
  auth?: 'basic' | 'digest';
  /** What it takes; default any. */
  transport?: 'tcp' | 'udp' | 'any';
  /** Default 320 x 240 at 30. */
  width?: number;
  height?: number;
  fps?: number;
  /** PEM files: speaks rtsps. */
  tls?: { cert: string; key: string };
}

export interface RtspCamera {
  /** `rtsp://user:password@127.0.0.1:port/stream` */
  readonly url: string;
  readonly port: number;
  /** Pulls its plug. */
  stop(): Promise<void>;
  /** Again, on the same port. */
  restart(): Promise<void>;
  /** SIGSTOP: its connections stay open and nothing comes. */
  pause(): void;
  resume(): void;
}

const SERVER = join(import.meta.dirname, 'rtsp-camera.py');

export async function startRtspCamera(options: RtspCameraOptions = {}): Promise<RtspCamera> {
  const { user = '', password = '', auth = 'digest', transport = 'any', tls } = options;
  const port = await freePort();
  const settings = { ...{ port, user, password, auth, transport, launch: launchLine(options) }, ...tls };
  const credentials = user === '' ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`;
  let child = await launch(settings);
  return {
    url: `${tls ? 'rtsps' : 'rtsp'}://${credentials}127.0.0.1:${port}/stream`,
    port,
    stop: () => end(child),
    async restart() {
      await end(child);
      child = await launch(settings);
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  };
}

function launchLine({
  codec = 'h264',
  audio = 'aac',
  width = 320,
  height = 240,
  fps = 30,
}: RtspCameraOptions): string {
  const raw = `videotestsrc is-live=true ! video/x-raw,format=I420,width=${width},height=${height},framerate=${fps}/1`;
  const video = {
    h264: `${raw} ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max=${fps} ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1`,
    h265: `${raw} ! x265enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max=${fps} ! h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1`,
    mjpeg: `${raw} ! jpegenc ! rtpjpegpay name=pay0 pt=26`,
    none: '',
  }[codec];
  const pay = codec === 'none' ? 'pay0' : 'pay1';
  const tone = 'audiotestsrc is-live=true wave=ticks ! audioconvert ! audioresample';
  const sound = {
    aac: `${tone} ! audio/x-raw,rate=48000,channels=1 ! avenc_aac ! aacparse ! rtpmp4gpay name=${pay} pt=97`,
    pcmu: `${tone} ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=${pay} pt=0`,
    pcma: `${tone} ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=${pay} pt=8`,
    none: '',
  }[audio];
  return `( ${video} ${sound} )`;
}

async function launch(settings: object): Promise<ChildProcess> {
  const child = spawn('/usr/bin/python3', [SERVER, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const errors: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line));
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => line === 'ready' && resolve());
    child.once('error', reject);
    child.once('close', () =>
      reject(new Error(`the camera did not start:\n${errors.slice(-10).join('\n')}`)),
    );
  });
  const late = AbortSignal.timeout(15_000);
  try {
    await Promise.race([
      ready,
      once(late, 'abort').then(() => Promise.reject(new Error('the camera is not ready'))),
    ]);
    return child;
  } catch (error) {
    await end(child);
    throw error;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}
