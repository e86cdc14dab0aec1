/**
 * RTMP to room, glass to glass: from when the sender's encoder is given a picture to when that picture has been
 * decoded by somebody in the room. Included: FFmpeg as the sender (x264 superfast, zerolatency), our RTMP server and
 * relay, the pipeline, the SFU, the viewer's FFmpeg, and reading the picture. All on one machine.
 *
 * And connect → first frame: from when the sender is started to its first picture, and sound, in the room.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IngressInput } from '@livekit/protocol';
import { trackIds } from '../test/support/callers.ts';
import {
  ingressClient,
  isPublishing,
  participantWith,
  publishUrl,
  waitForIngress,
} from '../test/support/ingress.ts';
import { LiveSource } from './lib/live-source.ts';
import { median, percentile, report, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { ROOM, startParts } from './lib/room.ts';
import { RoomViewer } from './lib/room-viewer.ts';

const TARGET_MS = 500;
const SECONDS = 15;
const SETTLE_MS = 4000;
const STARTS = 5;

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const { sluice } = await startParts(owner);
    const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    const client = ingressClient(sluice);
    let port = 40_000 + 8 * Math.floor(Math.random() * 500);
    const rows = [['picture', 'frames', 'p50, ms', 'p95, ms', 'most, ms', 'target p50', '']];
    const starts = [['picture', 'times', 'published, p50, ms', 'most, ms']];
    for (const mode of ['copied', '720p30_3'] as const) {
      const create = (identity: string) =>
        client.createIngress(IngressInput.RTMP_INPUT, {
          ...{ name: identity, roomName: ROOM, participantIdentity: identity },
          ...{ enableTranscoding: mode !== 'copied' },
        });
      const send = (url: string) =>
        owner.own(new LiveSource({ url, width: 1280, height: 720, bitrate: 2500 }), (each) => each.stop());

      const info = await create(mode);
      const source = send(publishUrl(info));
      await waitForIngress(sluice, info.ingressId, isPublishing);
      await participantWith(sluice, ROOM, mode, 2);
      const { video = '' } = await trackIds(sluice, ROOM, mode);
      let latencies: number[] = [];
      const viewer = await RoomViewer.start({
        ...{ sluice, room: ROOM, identity: `viewer-${mode}`, videoTrackId: video, port: (port += 4), folder },
        onPicture: (counter, atMs) =>
          latencies.push(atMs - (source.startedAtMs + (counter * 1000) / source.fps)),
      });
      owner.own(viewer, (each) => each.stop());
      await sleep(SETTLE_MS);
      latencies = [];
      await sleep(SECONDS * 1000);
      await viewer.stop();
      await source.stop();
      await client.deleteIngress(info.ingressId);
      if (latencies.length === 0) throw new Error(`no picture of ${mode} arrived\n${sluice.tail()}`);
      rows.push([
        ...[mode, String(latencies.length)],
        ...[median(latencies), percentile(latencies, 0.95), Math.max(...latencies)].map((ms) =>
          ms.toFixed(0),
        ),
        ...[`≤ ${TARGET_MS}`, verdict(median(latencies), TARGET_MS)],
      ]);

      const firsts: number[] = [];
      for (let index = 0; index < STARTS; index++) {
        const identity = `${mode}-${index}`;
        const each = await create(identity);
        const started = send(publishUrl(each));
        await waitForIngress(sluice, each.ingressId, isPublishing);
        firsts.push(Date.now() - started.startedAtMs);
        await started.stop();
        await client.deleteIngress(each.ingressId);
      }
      starts.push([...[mode, String(STARTS), median(firsts).toFixed(0), Math.max(...firsts).toFixed(0)]]);
    }
    report('RTMP to room, glass to glass', rows);
    report('Sender started to PUBLISHING (as ListIngress shows it, asked every 100 ms)', starts);
  });
}
