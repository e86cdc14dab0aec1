/**
 * What Sluice's passthrough is held against: FFmpeg alone, recording the same tracks from PlainTransports of the
 * same router. Video copied, Opus to AAC of the same rate and bitrate, into an MP4.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectBridge } from '../../src/bridge/client.ts';
import type { BridgeClient } from '../../src/bridge/client.ts';
import type { BridgeSubscription } from '../../src/bridge/protocol.ts';
import { quiet } from '../../test/support/callers.ts';
import type { Sluice } from '../../test/support/sluice.ts';

const STOP_MS = 10_000;

export interface RecorderOptions {
  sluice: Sluice;
  room: string;
  name: string;
  /** Folder for SDP and recording. */
  folder: string;
  audioTrackId: string;
  videoTrackId: string;
  /** Even, and the three after it are free too: FFmpeg takes a port more for each track's RTCP. */
  port: number;
}

export class FfmpegRecorder {
  readonly file: string;
  readonly #bridge: BridgeClient;
  readonly #child: ChildProcess;

  private constructor(bridge: BridgeClient, child: ChildProcess, file: string) {
    this.#bridge = bridge;
    this.#child = child;
    this.file = file;
  }

  /** Answers when RTP is being sent to it. */
  static async start(options: RecorderOptions): Promise<FfmpegRecorder> {
    const { sluice, room, name, folder, port } = options;
    const bridge = await connectBridge({
      url: `${sluice.url.replace(/^http/, 'ws')}/bridge`,
      token: await sluice.bridgeToken(name, { room, hidden: true, recorder: true }),
      attempt: 1,
      logger: quiet,
    });
    let child: ChildProcess | undefined;
    try {
      const subscribe = (trackId: string, at: number) =>
        bridge.request('subscribe', { trackId, ip: '127.0.0.1', port: at });
      const audio = await subscribe(options.audioTrackId, port);
      const video = await subscribe(options.videoTrackId, port + 2);
      const sdp = join(folder, `${name}.sdp`);
      const file = join(folder, `${name}.mp4`);
      await writeFile(sdp, sdpOf([audio, port], [video, port + 2]));
      child = spawn(
        'ffmpeg',
        [
          ...['-v', 'error', '-nostdin', '-protocol_whitelist', 'file,udp,rtp', '-i', sdp],
          ...['-c:v', 'copy', '-c:a', 'aac', '-b:a', '128k', '-ar', '44100', '-y', file],
        ],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      );
      await listening(child, [port, port + 2]);
      for (const { subscriptionId } of [audio, video]) await bridge.request('resume', { subscriptionId });
      await bridge.request('requestKeyFrame', { subscriptionId: video.subscriptionId });
      return new FfmpegRecorder(bridge, child, file);
    } catch (error) {
      child?.kill('SIGKILL');
      await bridge.leave();
      throw error;
    }
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('FFmpeg did not start');
    return this.#child.pid;
  }

  /** Has FFmpeg write its index, and leaves the room. Safe to call twice. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGINT');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(timer);
    }
    await this.#bridge.leave();
  }
}

/** An SDP for what is subscribed to, each on its port. */
export function sdpOf(...tracks: [BridgeSubscription, number][]): string {
  const media = tracks.flatMap(([{ kind, codec }, port]) => {
    const { payloadType, clockRate, channels, parameters } = codec;
    const name = codec.mimeType.slice(codec.mimeType.indexOf('/') + 1);
    const fmtp = Object.entries(parameters).map(([key, value]) => `${key}=${value}`);
    return [
      `m=${kind} ${port} RTP/AVP ${payloadType}`,
      `a=rtpmap:${payloadType} ${name}/${clockRate}${channels ? `/${channels}` : ''}`,
      ...(fmtp.length > 0 ? [`a=fmtp:${payloadType} ${fmtp.join(';')}`] : []),
      'a=recvonly',
    ];
  });
  return ['v=0', 'o=- 0 0 IN IP4 127.0.0.1', 's=bench', 'c=IN IP4 127.0.0.1', 't=0 0', ...media, ''].join(
    '\r\n',
  );
}

/** Answers when FFmpeg has bound its ports. */
export async function listening(child: ChildProcess, ports: readonly number[]): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (child.exitCode !== null) throw new Error('FFmpeg ended before it recorded anything');
    const bound = new Set(
      (await readFile('/proc/net/udp', 'utf8')).split('\n').flatMap((line) => {
        const hex = line.trim().split(/\s+/)[1]?.split(':')[1];
        return hex === undefined ? [] : [parseInt(hex, 16)];
      }),
    );
    if (ports.every((port) => bound.has(port))) return;
    await sleep(25);
  }
  throw new Error('FFmpeg does not listen');
}
