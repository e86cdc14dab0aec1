/**
 * A test participant: runs the test publisher (gjs, see pipelines/programs/test-publisher.ts) and does the
 * WHIP exchange for it. Used by the demo, the tests and the benches.
 */
import { networkInterfaces } from 'node:os';
import type { Logger } from 'pino';

import { PITCHES, type ColorName } from '../../pipelines/publisher/signal.ts';
import type {
  AudioCodec,
  H264Profile,
  PublisherSettings,
  VideoCodec,
} from '../../pipelines/publisher/protocol.ts';
import { PublisherProcess, type PublisherExit, type PublisherProgress } from './publisher-process.ts';
import { PublisherError } from './publisher-error.ts';
import { whipDelete, whipPost } from './whip-client.ts';

export { PublisherError, type PublisherExit, type PublisherProgress };

export interface TestPublisherOptions {
  /** e.g. `http://127.0.0.1:7880/whip`. */
  whipUrl: string;
  /** Access token, sent as a bearer token. */
  token: string;
  /** Background of the picture. */
  color: ColorName;
  /** Of the beep, Hz; by default the colour's own. */
  pitch?: number;
  /** Pixels, even (default 640 × 360). */
  width?: number;
  height?: number;
  /** Whole frames per second (default 30). */
  fps?: number;
  /** Default H.264; null publishes no video. */
  videoCodec?: VideoCodec | null;
  /** Default true. */
  audio?: boolean;
  /** Default Opus. */
  audioCodec?: AudioCodec;
  /** The offer says that the picture is a screen (RFC 4796 §5, default false). */
  screen?: boolean;
  /** Seconds between keyframes nobody asked for (default 2). */
  gopSeconds?: number;
  /** Slices in a picture, H.264 only (default 1). */
  slices?: number;
  /** Three layers, rids `q`, `h` and `f`; the size is then at least 640 × 360, in steps of 8 (default false). */
  simulcast?: boolean;
  /** H.264 only (default constrained baseline). */
  profile?: H264Profile;
  /** kbit/s; by default what the size needs. */
  videoBitrate?: number;
  /** Milliseconds until the media must flow (default 15 000). */
  timeoutMs?: number;
  logger: Logger;
}

export interface TestPublisher {
  readonly color: ColorName;
  /** Hz. */
  readonly pitch: number;
  readonly fps: number;
  /** Process id of the publisher. */
  readonly pid: number;
  /** URL of the WHIP session. */
  readonly resource: string;
  /** Wall clock, ms since the epoch, when frame 0 was taken (within the delay of a pipe). */
  readonly startedAtMs: number;
  /** As of the last second. */
  readonly progress: PublisherProgress;
  /** Settles when the process has ended, however that came; never rejects. */
  readonly exited: Promise<PublisherExit>;
  /** Stops or resumes sending the track. @throws PublisherError when there is none or it has ended */
  muteAudio(muted: boolean): void;
  muteVideo(muted: boolean): void;
  /** New size, pixels, even, at least 160 × 90, from the next frame on. @throws PublisherError */
  setResolution(width: number, height: number): void;
  /** Deletes the WHIP session and ends the process; may be called more than once. */
  stop(): Promise<void>;
  /** Kills the process without a farewell and leaves the WHIP session to its server. */
  kill(): Promise<void>;
}

/**
 * Starts a publisher and answers when its media flows. On failure nothing is left behind.
 * @throws PublisherError when the settings, the program, the WHIP server or the connection refuse
 */
export async function startTestPublisher(options: TestPublisherOptions): Promise<TestPublisher> {
  const settings = settingsOf(options);
  const { whipUrl, token, timeoutMs = 15_000 } = options;
  const logger = options.logger.child({ publisher: options.color });
  const deadline = AbortSignal.timeout(timeoutMs);
  const child = new PublisherProcess(settings, logger);
  let resource: string | undefined;
  try {
    const offer = await child.offer(deadline);
    const answer = await whipPost(whipUrl, token, options.screen ? asScreen(offer) : offer, deadline);
    resource = answer.resource;
    await child.connect(answer.sdp, deadline);
  } catch (error) {
    await child.kill();
    if (resource) await whipDelete(resource, token).catch(() => undefined);
    throw deadline.aborted && !(error instanceof PublisherError)
      ? new PublisherError(`no media flows after ${timeoutMs} ms`, { cause: error })
      : error;
  }
  logger.info({ pid: child.pid }, 'test publisher connected');
  const session = resource;
  let stopping: Promise<void> | undefined;
  return {
    color: settings.color,
    pitch: settings.pitch,
    fps: settings.video?.fps ?? 0,
    pid: child.pid,
    resource: session,
    startedAtMs: child.connectedAtMs,
    get progress() {
      return child.progress;
    },
    exited: child.exited,
    muteAudio: (muted) => {
      if (!settings.audio) throw new PublisherError('cannot mute audio: this publisher has none');
      child.send({ cmd: 'mute', kind: 'audio', muted });
    },
    muteVideo: (muted) => {
      if (!settings.video) throw new PublisherError('cannot mute video: this publisher has none');
      child.send({ cmd: 'mute', kind: 'video', muted });
    },
    setResolution: (width, height) => {
      if (!settings.video)
        throw new PublisherError('cannot change the resolution: this publisher has no video');
      if (settings.video.simulcast)
        throw new PublisherError('cannot change the resolution of simulcast layers');
      checkSize(width, height);
      child.send({ cmd: 'resolution', width, height });
    },
    stop: () =>
      (stopping ??= (async () => {
        await child.stop();
        await whipDelete(session, token).catch((error: unknown) => {
          logger.warn({ err: error }, 'the WHIP session could not be deleted');
        });
      })()),
    kill: () => child.kill(),
  };
}

function settingsOf(options: TestPublisherOptions): PublisherSettings {
  const { color, width = 640, height = 360, fps = 30, slices = 1, gopSeconds = 2 } = options;
  const { videoCodec = 'h264', simulcast = false, audio = true, profile = 'constrained-baseline' } = options;
  if (!videoCodec && !audio) throw new PublisherError('a publisher needs video or audio');
  checkSize(width, height);
  if (simulcast && (width % 8 || height % 8 || width < 640 || height < 360))
    throw new PublisherError(`size ${width}x${height}: simulcast needs at least 640x360, in steps of 8`);
  if (!Number.isInteger(fps) || fps < 1 || fps > 120)
    throw new PublisherError(`fps is ${fps}; a whole number from 1 to 120 is needed`);
  if (!Number.isInteger(slices) || slices < 1 || slices > Math.floor(height / 16))
    throw new PublisherError(`slices is ${slices}; at least 1 and one macroblock row each are needed`);
  if (!(gopSeconds > 0)) throw new PublisherError(`gopSeconds is ${gopSeconds}; it must be positive`);
  // A tenth of a bit a pixel keeps the barcode's edges clean.
  const bitrate = options.videoBitrate ?? Math.max(300, Math.round((width * height * fps * 0.1) / 1000));
  return {
    color,
    pitch: options.pitch ?? PITCHES[color],
    audio: audio ? (options.audioCodec ?? 'opus') : null,
    addresses: localAddresses(new URL(options.whipUrl).hostname),
    video: videoCodec && {
      codec: videoCodec,
      profile,
      width,
      height,
      fps,
      bitrate,
      gopSeconds,
      slices,
      simulcast,
    },
  };
}

/** The same offer, whose picture is a screen. */
function asScreen(offer: string): string {
  return offer.replace(/^m=video .*\r\n(c=.*\r\n)?/m, '$&a=content:slides\r\n');
}

function checkSize(width: number, height: number): void {
  const fits = (n: number, least: number) => Number.isInteger(n) && n % 2 === 0 && n >= least && n <= 4096;
  if (!fits(width, 160) || !fits(height, 90))
    throw new PublisherError(`size ${width}x${height}: even numbers from 160x90 to 4096x4096 are needed`);
}

/**
 * Addresses ICE should offer a server. libnice binds each socket to its interface, so a server on loopback
 * is out of reach from any other address, and loopback is not among those libnice takes by itself.
 */
function localAddresses(server: string): string[] {
  if (!/^(localhost|127\.[\d.]+|\[::1\])$/.test(server)) return [];
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  // A link-local address needs its interface's name, which a candidate cannot have.
  return all.filter(({ scopeid }) => !scopeid).map(({ address }) => address);
}
