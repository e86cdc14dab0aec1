/** Senders of ingresses and what a test looks at: a marked clip as OBS would encode it, its push, and the room. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput, EncodedFileType, EgressStatus, IngressClient } from 'livekit-server-sdk';
import type { IngressInfo } from 'livekit-server-sdk';
import { IngressState_Status } from '@livekit/protocol';
import type { ParticipantInfo } from '@livekit/protocol';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ContentReport, TileSpec } from '../../src/demo/content/analyse.ts';
import { trackIds } from './callers.ts';
import { API_KEY, API_SECRET } from './sluice.ts';
import type { Sluice } from './sluice.ts';
import { runTool } from '../../src/demo/content/tool.ts';

/** What x264's fastest preset leaves out of OBS's stream, and a decoder would not meet. */
const HIGH_PROFILE = 'cabac=1:8x8dct=1:b-pyramid=normal:weightb=1:deblock=0,0';

/**
 * OBS's defaults: x264, High, two B-frames, a keyframe every two seconds, CBR; AAC stereo 160k. In half the time
 * its preset (veryfast) takes.
 */
export const OBS_ENCODING = [
  ...['-c:v', 'libx264', '-preset', 'ultrafast', '-profile:v', 'high', '-bf', '2', '-pix_fmt', 'yuv420p'],
  ...[
    '-x264-params',
    `keyint=60:min-keyint=60:scenecut=0:${HIGH_PROFILE}`,
    '-b:v',
    '2500k',
    '-maxrate',
    '2500k',
  ],
  ...['-bufsize', '2500k', '-c:a', 'aac', '-b:a', '160k', '-ac', '2', '-ar', '48000'],
];

/** What a browser could show as it is: no B-frames. */
export const COPYABLE_ENCODING = [
  ...['-c:v', 'libx264', '-preset', 'ultrafast', '-profile:v', 'baseline', '-bf', '0', '-g', '30'],
  ...['-pix_fmt', 'yuv420p', '-b:v', '1500k', '-c:a', 'aac', '-b:a', '128k', '-ac', '2', '-ar', '48000'],
];

/** A process that sends. */
export class Sender {
  readonly child: ChildProcess;
  #said = '';

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (data: Buffer) => (this.#said = (this.#said + data.toString()).slice(-8000));
    this.child.stdout?.on('data', keep);
    this.child.stderr?.on('data', keep);
  }

  /** What it wrote. */
  get said(): string {
    return this.#said;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Its exit code; null when a signal ended it. */
  async ended(): Promise<number | null> {
    if (this.running) await once(this.child, 'exit');
    return this.child.exitCode;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.running) return;
    this.child.kill(signal);
    await this.ended();
  }
}

/** FFmpeg pushes a clip at its own pace, as it is. */
export function pushRtmp(url: string, clip: string, loop = false): Sender {
  return new Sender('ffmpeg', [
    ...['-v', 'error', '-nostdin', '-re', ...(loop ? ['-stream_loop', '-1'] : []), '-i', clip],
    ...['-c', 'copy', '-f', 'flv', url],
  ]);
}

export function ingressClient(sluice: Sluice): IngressClient {
  return new IngressClient(sluice.url, API_KEY, API_SECRET);
}

/** `rtmp://host:port/live/<key>` of an ingress. */
export function publishUrl({ url, streamKey }: IngressInfo): string {
  return `${url}/${streamKey}`;
}

/** Polls ListIngress until `done`. @throws with the log's end */
export async function waitForIngress(
  sluice: Sluice,
  ingressId: string,
  done: (info: IngressInfo) => boolean,
  timeoutMs = 20_000,
): Promise<IngressInfo> {
  const client = ingressClient(sluice);
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const [info] = await client.listIngress({ ingressId });
    if (info && done(info)) return info;
    if (Date.now() > deadline)
      throw new Error(
        `ingress ${ingressId} is not there yet: ${info?.state?.toJsonString() ?? 'not listed'}\n${sluice.tail()}`,
      );
    await sleep(100);
  }
}

export const isPublishing = (info: IngressInfo): boolean =>
  info.state?.status === IngressState_Status.ENDPOINT_PUBLISHING;

export const isInactive = (info: IngressInfo): boolean =>
  info.state?.status === IngressState_Status.ENDPOINT_INACTIVE;

/** The participant once it has published `tracks` tracks. */
export async function participantWith(
  sluice: Sluice,
  room: string,
  identity: string,
  tracks: number,
  timeoutMs = 20_000,
): Promise<ParticipantInfo> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const info = await sluice.rooms.getParticipant(room, identity).catch(() => undefined);
    if (info && info.tracks.length >= tracks) return info;
    if (Date.now() > deadline)
      throw new Error(
        `${identity} has not published: ${info?.toJsonString() ?? 'not there'}\n${sluice.tail()}`,
      );
    await sleep(100);
  }
}

/** Resolves when the participant is not in the room any more. */
export async function participantGone(
  sluice: Sluice,
  room: string,
  identity: string,
  timeoutMs = 5000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (await sluice.rooms.getParticipant(room, identity).catch(() => undefined)) {
    if (Date.now() > deadline) throw new Error(`${identity} is still in ${room}\n${sluice.tail()}`);
    await sleep(50);
  }
}

/** Copies what the participant publishes into a file for so long, and reads the file. */
export async function recordParticipant(
  sluice: Sluice,
  room: string,
  identity: string,
  seconds: number,
  tile: TileSpec,
): Promise<ContentReport> {
  const { audio, video } = await trackIds(sluice, room, identity);
  const { egressId } = await sluice.egress.startTrackCompositeEgress(
    room,
    new EncodedFileOutput({ filepath: `ingress/${identity}-{time}`, fileType: EncodedFileType.MP4 }),
    {
      ...(audio === undefined ? {} : { audioTrackId: audio }),
      ...(video === undefined ? {} : { videoTrackId: video }),
    },
  );
  await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
  await sleep(seconds * 1000);
  await sluice.egress.stopEgress(egressId);
  const ended = await sluice.waitForEgress(egressId, ({ status }) => status >= EgressStatus.EGRESS_COMPLETE);
  const [file] = ended.fileResults;
  if (!file || file.location === '') throw new Error(`no file: ${ended.toJsonString()}\n${sluice.tail()}`);
  return analyse(file.location, { tiles: [tile] });
}

/** The clip again in another container or codec. */
export async function reencode(from: string, to: string, args: readonly string[]): Promise<void> {
  await runTool('ffmpeg', ['-v', 'error', '-y', '-i', from, ...args, to]);
}
