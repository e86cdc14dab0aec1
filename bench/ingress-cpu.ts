/**
 * What an RTMP ingress costs: copied, and encoded to 720p30_3, against x264 encoding the same three layers of the same
 * picture alone (GStreamer: decoded pictures in, no network, the same settings, at the same time).
 *
 * Counted for Sluice: the pipeline, and what the worker's and the server's Node, Redis and mediasoup use more than
 * before. The sender is on no side.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInput } from '@livekit/protocol';
import { runTool } from '../src/demo/content/tool.ts';
import { makeClip } from '../test/support/content/clip.ts';
import {
  COPYABLE_ENCODING,
  ingressClient,
  isInactive,
  isPublishing,
  publishUrl,
  pushRtmp,
  waitForIngress,
} from '../test/support/ingress.ts';
import { report, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { between, PARTS, read } from './lib/parts.ts';
import { spent, usage } from './lib/processes.ts';
import { ROOM, startParts } from './lib/room.ts';

const TARGET = 1.4;
const IDLE_MS = 8000;
const SETTLE_MS = 4000;
const SECONDS = 25;
const LAYERS = [
  { width: 320, height: 180, bitrate: 238 },
  { width: 640, height: 360, bitrate: 672 },
  { width: 1280, height: 720, bitrate: 1900 },
];

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const parts = await startParts(owner);
    const { sluice } = parts;
    const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    const clip = join(folder, 'clip.flv');
    const size = { width: 1280, height: 720, fps: 30 };
    await makeClip(clip, { seconds: 50, ...size, encode: COPYABLE_ENCODING });
    const raw = join(folder, 'clip.mkv');
    // Pictures as the encoder is given them, cheap to read.
    await runTool('ffmpeg', [
      ...['-v', 'error', '-y', '-i', clip, '-t', String(SECONDS + 8), '-an', '-c:v', 'rawvideo', raw],
    ]);
    const client = ingressClient(sluice);
    const idle0 = read(parts);
    await sleep(IDLE_MS);
    const idle = between(idle0, read(parts));

    const rows = [['', ...PARTS, 'together', 'x264 alone', 'ratio', 'target', '']];
    for (const mode of ['copied', '720p30_3'] as const) {
      const info = await client.createIngress(IngressInput.RTMP_INPUT, {
        ...{ name: mode, roomName: ROOM, participantIdentity: mode, enableTranscoding: mode !== 'copied' },
      });
      const sender = owner.own(pushRtmp(publishUrl(info), clip), (each) => each.kill());
      await waitForIngress(sluice, info.ingressId, isPublishing);
      await sleep(SETTLE_MS);
      const alone = mode === 'copied' ? undefined : owner.own(encodeAlone(raw), (each) => each.kill());
      await sleep(500);
      const before = { sluice: read(parts), alone: usage(alone ? [alone.pid] : []) };
      await sleep(SECONDS * 1000);
      const after = { sluice: read(parts), alone: usage(alone ? [alone.pid] : []) };
      const { seconds, cpu } = between(before.sluice, after.sluice);
      const cores = PARTS.map((part) => cpu[part] / seconds - idle.cpu[part] / idle.seconds);
      const together = cores.reduce((sum, each) => sum + each, 0);
      const other = spent(before.alone, after.alone).total / seconds;
      await alone?.kill();
      await sender.kill();
      await client
        .deleteIngress(info.ingressId)
        .catch(() => waitForIngress(sluice, info.ingressId, isInactive));
      rows.push([
        ...[mode, ...cores.map((each) => each.toFixed(3)), together.toFixed(3)],
        ...(alone
          ? [
              other.toFixed(3),
              (together / other).toFixed(2),
              `≤ ${TARGET} ×`,
              verdict(together / other, TARGET),
            ]
          : ['', '', '', '']),
      ]);
    }
    report('RTMP ingress of 1280×720 at 30 frames/s, cores', rows);
  });
}

/** x264 alone, at the pictures' own pace, with the settings of the pipeline. */
function encodeAlone(raw: string): { pid: number; kill: () => Promise<void> } {
  const layers = LAYERS.map(({ width, height, bitrate }) =>
    [
      `t. ! queue ! videoscale ! video/x-raw,width=${width},height=${height} !`,
      `x264enc tune=zerolatency speed-preset=veryfast threads=1 bitrate=${bitrate} key-int-max=300 !`,
      'video/x-h264,profile=constrained-baseline ! fakesink sync=true',
    ].join(' '),
  );
  const line = `filesrc location=${raw} ! matroskademux ! video/x-raw ! tee name=t ${layers.join(' ')}`;
  const child = spawn('gst-launch-1.0', ['-q', ...line.split(' ')], { stdio: 'ignore' });
  if (child.pid === undefined) throw new Error('gst-launch-1.0 did not start');
  return {
    pid: child.pid,
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}
