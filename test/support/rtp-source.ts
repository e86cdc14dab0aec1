/**
 * Publishers for pipeline tests, without a browser: clips of a known picture and sound sent as RTP with Sender
 * Reports, straight to a pipeline or through a real mediasoup router.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { join } from 'node:path';

import * as mediasoup from 'mediasoup';
import type { types as ms } from 'mediasoup';

import type { PipelineHost } from '../../src/pipeline/host.ts';
import type { RtpCodec, SrtpKey } from '../../pipelines/shared/protocol.ts';
import { makeClip, type ClipOptions } from './content/clip.ts';
import { BrokenClock, isRtcp } from './broken-clock.ts';
import type { ClockFaults } from './broken-clock.ts';
import type { UdpPath } from './network.ts';

const LOOPBACK = '127.0.0.1';

export type VideoCodec = 'h264' | 'vp8' | 'vp9';

export interface RtpClipOptions extends ClipOptions {
  codec?: VideoCodec;
  /** Frames between keyframes (default 30). */
  gop?: number;
  /** Slices a picture. */
  slices?: number;
}

/** libvpx's threads wait for each other busily: one takes a quarter of the processor time of two. */
const VIDEO_ENCODERS: Readonly<Record<VideoCodec, readonly string[]>> = {
  h264: ['-c:v', 'libx264', '-profile:v', 'baseline', '-preset', 'superfast', '-crf', '26'],
  vp8: [
    '-c:v',
    'libvpx',
    '-threads',
    '1',
    '-deadline',
    'realtime',
    '-cpu-used',
    '8',
    '-b:v',
    '600k',
    '-auto-alt-ref',
    '0',
  ],
  vp9: [
    '-c:v',
    'libvpx-vp9',
    '-threads',
    '1',
    '-deadline',
    'realtime',
    '-cpu-used',
    '8',
    '-b:v',
    '600k',
    '-lag-in-frames',
    '0',
  ],
};

/** Makes a clip that {@link RtpSource} can send: video of `codec` and Opus. @returns its file */
export async function makeRtpClip(folder: string, name: string, options: RtpClipOptions): Promise<string> {
  const { codec = 'h264', gop = 30, slices = 1, ...clip } = options;
  const file = join(folder, `${name}.mkv`);
  const x264 = codec === 'h264' ? ['-x264-params', `scenecut=0:slices=${slices}`] : [];
  const encode = [...VIDEO_ENCODERS[codec], ...x264, '-g', String(gop), '-keyint_min', String(gop)];
  await makeClip(file, { ...clip, encode: [...encode, '-c:a', 'libopus', '-b:a', '64k', '-ar', '48000'] });
  return file;
}

const PAYLOADERS: Readonly<Record<VideoCodec, string>> = {
  h264: 'h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au ! clocksync ! rtph264pay aggregate-mode=zero-latency',
  vp8: 'clocksync ! rtpvp8pay picture-id-mode=15-bit',
  vp9: 'vp9parse ! clocksync ! rtpvp9pay picture-id-mode=15-bit',
};

/** What tracks are sent as; the same wherever they are needed. */
export const CODECS = {
  h264: {
    mimeType: 'video/H264',
    payloadType: 96,
    clockRate: 90_000,
    parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 },
  },
  vp8: { mimeType: 'video/VP8', payloadType: 97, clockRate: 90_000, parameters: {} },
  vp9: { mimeType: 'video/VP9', payloadType: 98, clockRate: 90_000, parameters: { 'profile-id': 0 } },
  opus: {
    mimeType: 'audio/opus',
    payloadType: 111,
    clockRate: 48_000,
    channels: 2,
    parameters: { useinbandfec: 1 },
  },
} as const satisfies Record<string, RtpCodec>;

export interface RtpSourceOptions {
  /** Files of {@link makeRtpClip}, sent one after the other on the same stream. */
  clips: readonly string[];
  codec?: VideoCodec;
  videoPort?: number;
  audioPort?: number;
  videoSsrc: number;
  audioSsrc: number;
}

/** Sends clips in real time, both tracks on one clock, RTCP on the RTP port. */
export class RtpSource {
  readonly #text: string;
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: RtpSourceOptions) {
    const { clips, codec = 'h264', videoPort, audioPort, videoSsrc, audioSsrc } = options;
    const legs: string[] = [];
    const send = (session: number, port: number): string =>
      `rtp.send_rtp_src_${session} ! udpsink host=${LOOPBACK} port=${port} sync=false async=false ` +
      `rtp.send_rtcp_src_${session} ! udpsink host=${LOOPBACK} port=${port} sync=false async=false`;
    const join_ = (kind: 'video' | 'audio'): string =>
      `concat name=${kind}s ` +
      clips.map((_, index) => `demux${index}.${kind}_0 ! queue max-size-time=0 ! ${kind}s.`).join(' ');
    if (videoPort !== undefined)
      legs.push(
        `${join_('video')} videos. ! ${PAYLOADERS[codec]} mtu=1200 pt=${CODECS[codec].payloadType} ssrc=${videoSsrc} ` +
          `! rtp.send_rtp_sink_0 ${send(0, videoPort)}`,
      );
    if (audioPort !== undefined)
      legs.push(
        `${join_('audio')} audios. ! opusparse ! clocksync ! rtpopuspay pt=${CODECS.opus.payloadType} ssrc=${audioSsrc} ` +
          `! rtp.send_rtp_sink_1 ${send(1, audioPort)}`,
      );
    const files = clips.map((clip, index) => `filesrc location=${clip} ! matroskademux name=demux${index}`);
    // Sender Reports every half second, as browsers send them, and not every five.
    const rtpbin =
      'rtpbin name=rtp rtpsession0::rtcp-min-interval=500000000 rtpsession1::rtcp-min-interval=500000000';
    this.#text = [rtpbin, ...files, ...legs].join(' ');
  }

  start(): void {
    const child = spawn('gst-launch-1.0', ['-q', ...this.#text.split(/\s+/)], {
      stdio: ['ignore', 'ignore', process.env.TEST_LOG_LEVEL ? 'inherit' : 'ignore'],
    });
    this.#process = child;
    this.#ended = new Promise((resolve) => child.once('exit', () => resolve()));
  }

  async stop(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#ended;
  }
}

/**
 * Brings what several sockets send to one port from one socket, as a browser would. Each socket's media may be late, as
 * that of a slow encoder is; reports are not, they cross the same network.
 */
class Uplink {
  readonly #out: Socket = createSocket('udp4');
  readonly #ins: Socket[] = [];
  #open = true;

  /**
   * @param sentAtMs is filled with the wall clock at which each frame's first packet was sent, in order
   * @returns the port to send to
   */
  async add(delayMs: number, farPort: number, clock?: BrokenClock, sentAtMs?: number[]): Promise<number> {
    const socket = createSocket('udp4');
    this.#ins.push(socket);
    await new Promise<void>((resolve) => socket.bind(0, LOOPBACK, resolve));
    let last: number | undefined;
    const forward = (data: Buffer): void => {
      if (!this.#open) return;
      if (sentAtMs && !isRtcp(data) && data.readUInt32BE(4) !== last) {
        last = data.readUInt32BE(4);
        sentAtMs.push(performance.timeOrigin + performance.now());
      }
      this.#out.send(data, farPort, LOOPBACK);
    };
    socket.on('message', (data) => {
      const heldMs = (clock?.apply(data) ?? 0) + (isRtcp(data) ? 0 : delayMs);
      if (heldMs > 0) setTimeout(forward, heldMs, data);
      else forward(data);
    });
    return socket.address().port;
  }

  close(): void {
    this.#open = false;
    for (const socket of [this.#out, ...this.#ins]) socket.close();
  }
}

/** Published tracks of one {@link RtpSource}. */
export interface Published {
  source: RtpSource;
  video: ms.Producer | undefined;
  audio: ms.Producer | undefined;
  /** Wall clock at which each picture was sent, ms, in order. */
  picturesAtMs: readonly number[];
}

export interface SubscribeOptions {
  trackId: string;
  producer: ms.Producer;
  syncGroup?: string;
  srtp?: boolean;
  /** Between mediasoup and the pipeline. */
  path?: UdpPath;
  /** Told the pipeline's port before anything is sent to it. */
  onPort?: (port: number) => void;
  /** Between bind and connect: the order that never loses the first keyframe is bind, subscribe, connect, resume. */
  muted?: boolean;
  channel?: 'left' | 'right';
}

/** A mediasoup worker and router, with PlainTransports to publish into and to record from. */
export class TestRouter {
  readonly #worker: ms.Worker;
  readonly router: ms.Router;
  readonly #sources: RtpSource[] = [];
  readonly #uplinks: Uplink[] = [];
  #ssrc = 10_000;

  static async start(): Promise<TestRouter> {
    const worker = await mediasoup.createWorker({ logLevel: 'error' });
    const router = await worker.createRouter({
      mediaCodecs: Object.values(CODECS).map((codec) => ({
        kind: codec.mimeType.startsWith('video') ? 'video' : 'audio',
        mimeType: codec.mimeType,
        clockRate: codec.clockRate,
        preferredPayloadType: codec.payloadType,
        parameters: codec.parameters,
        ...('channels' in codec && { channels: codec.channels }),
      })),
    });
    return new TestRouter(worker, router);
  }

  private constructor(worker: ms.Worker, router: ms.Router) {
    this.#worker = worker;
    this.router = router;
  }

  /** Publishes clips. @param only one kind alone */
  async publish(
    clips: readonly string[],
    options: {
      codec?: VideoCodec;
      only?: 'audio' | 'video';
      /** The caller starts the source. */
      held?: boolean;
      /** Media that is sent late, ms. */
      audioDelayMs?: number;
      videoDelayMs?: number;
      /** What is wrong with the clock of both tracks, or of one. */
      clock?: ClockFaults | { audio?: ClockFaults; video?: ClockFaults };
    } = {},
  ): Promise<Published> {
    const { codec = 'h264', only, held = false, audioDelayMs = 0, videoDelayMs = 0, clock } = options;
    const videoSsrc = ++this.#ssrc;
    const audioSsrc = ++this.#ssrc;
    const transport = await this.router.createPlainTransport({
      listenInfo: { protocol: 'udp', ip: LOOPBACK },
      rtcpMux: true,
      comedia: true,
    });
    const produce = (kind: 'audio' | 'video', track: RtpCodec, ssrc: number): Promise<ms.Producer> =>
      transport.produce({ kind, rtpParameters: sendParameters(kind, track, ssrc, `publisher-${videoSsrc}`) });
    const video = only === 'audio' ? undefined : await produce('video', CODECS[codec], videoSsrc);
    const audio = only === 'video' ? undefined : await produce('audio', CODECS.opus, audioSsrc);
    const clockOf = (kind: 'audio' | 'video', rate: number): BrokenClock | undefined => {
      if (!clock) return undefined;
      const faults = 'audio' in clock || 'video' in clock ? clock[kind] : (clock as ClockFaults);
      return faults && new BrokenClock(faults, rate);
    };
    const uplink = new Uplink();
    const picturesAtMs: number[] = [];
    this.#uplinks.push(uplink);
    const { localPort } = transport.tuple;
    const source = new RtpSource({
      clips,
      codec,
      videoSsrc,
      audioSsrc,
      ...(video && {
        videoPort: await uplink.add(
          ...([videoDelayMs, localPort, clockOf('video', CODECS[codec].clockRate), picturesAtMs] as const),
        ),
      }),
      ...(audio && {
        audioPort: await uplink.add(audioDelayMs, localPort, clockOf('audio', CODECS.opus.clockRate)),
      }),
    });
    this.#sources.push(source);
    if (!held) source.start();
    return { source, video, audio, picturesAtMs };
  }

  /** Has `host` receive a producer, as the bridge would. */
  async subscribe(host: PipelineHost, options: SubscribeOptions): Promise<ms.Consumer> {
    const { trackId, producer, srtp = false, path, channel } = options;
    const { port } = await host.send({ cmd: 'bind', trackId, ip: LOOPBACK });
    options.onPort?.(port);
    const transport = await this.router.createPlainTransport({
      listenInfo: { protocol: 'udp', ip: LOOPBACK },
      rtcpMux: true,
      comedia: false,
      enableSrtp: srtp,
    });
    const local: SrtpKey | undefined = srtp
      ? { cryptoSuite: 'AES_CM_128_HMAC_SHA1_80', keyBase64: Buffer.alloc(30, 7).toString('base64') }
      : undefined;
    const pathPort = await path?.open();
    path?.connect(transport.tuple.localPort, port);
    await transport.connect({
      ip: LOOPBACK,
      port: pathPort ?? port,
      ...(local && { srtpParameters: { cryptoSuite: local.cryptoSuite, keyBase64: local.keyBase64 } }),
    });
    const consumer = await transport.consume({
      producerId: producer.id,
      // NACK is kept by `enableRtx`; without an RTX codec packets are sent again as they were.
      rtpCapabilities: {
        ...this.router.rtpCapabilities,
        codecs:
          this.router.rtpCapabilities.codecs?.filter(({ mimeType }) => !mimeType.endsWith('/rtx')) ?? [],
      },
      paused: true,
      enableRtx: true,
    });
    const [codec] = consumer.rtpParameters.codecs;
    const encoding = consumer.rtpParameters.encodings?.[0];
    if (!codec || encoding?.ssrc === undefined) throw new Error('the consumer has no codec or no SSRC');
    const remote = transport.srtpParameters;
    await host.send({
      cmd: 'connect',
      trackId,
      syncGroup: options.syncGroup ?? 'one',
      kind: producer.kind,
      codec: {
        mimeType: codec.mimeType,
        payloadType: codec.payloadType,
        clockRate: codec.clockRate,
        ...(codec.channels !== undefined && { channels: codec.channels }),
        parameters: codec.parameters as RtpCodec['parameters'],
      },
      ssrc: encoding.ssrc,
      remote: { ip: LOOPBACK, port: pathPort ?? transport.tuple.localPort },
      ...(local && remote && { srtp: { local, remote } }),
      muted: options.muted ?? producer.paused,
      ...(channel && { channel }),
    });
    await consumer.resume();
    return consumer;
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.stop()));
    for (const uplink of this.#uplinks) uplink.close();
    const died = new Promise<void>((resolve) => this.#worker.once('subprocessclose', () => resolve()));
    this.#worker.close();
    await died;
  }
}

function sendParameters(
  kind: 'audio' | 'video',
  codec: RtpCodec,
  ssrc: number,
  cname: string,
): ms.RtpParameters {
  return {
    codecs: [
      {
        mimeType: codec.mimeType,
        payloadType: codec.payloadType,
        clockRate: codec.clockRate,
        ...(codec.channels !== undefined && { channels: codec.channels }),
        parameters: codec.parameters,
        rtcpFeedback: kind === 'video' ? [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }] : [],
      },
    ],
    encodings: [{ ssrc }],
    rtcp: { cname },
  };
}
