/**
 * Room to RTMP destination, glass to glass: from when the publisher took a frame (its counter is in the picture, its
 * clock's zero is known to within the delay of a pipe) to when that frame is decoded at an RTMP receiver on the same
 * machine. Included: the publisher's encoder, WHIP's RTP, SFU, our pipeline and FFmpeg push, the receiving FFmpeg's
 * RTMP server, its decoder, and reading the picture.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { StreamOutput, StreamProtocol } from 'livekit-server-sdk';
import type { TestPublisher } from '../src/demo/publisher.ts';
import { trackIds } from '../test/support/callers.ts';
import { freePort } from '../test/support/ports.ts';
import { median, percentile, report, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { readPictures } from './lib/pictures.ts';
import { COLORS, finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';

const TARGET_MS = 1000;
const SECONDS = 15;
/** Left out while the connection settles. */
const SETTLE_MS = 4000;
const SIZE = { width: 640, height: 360 };

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const { sluice } = await startParts(owner);
    const [publisher] = await publishAll(owner, sluice, 1);
    const { audio, video } = await trackIds(sluice, ROOM, COLORS[0]!);
    if (!publisher || audio === undefined || video === undefined) throw new Error('nobody publishes');
    const rows = [['egress', 'frames', 'p50, ms', 'p95, ms', 'most, ms', 'target p50', '']];
    for (const kind of ['composite', 'passthrough'] as const) {
      const receiver = owner.own(await Receiver.start(publisher), (each) => each.stop());
      const output = { stream: new StreamOutput({ protocol: StreamProtocol.RTMP, urls: [receiver.url] }) };
      const { egressId } =
        kind === 'composite'
          ? await sluice.egress.startRoomCompositeEgress(ROOM, output, { layout: 'grid' })
          : await sluice.egress.startTrackCompositeEgress(ROOM, output, {
              audioTrackId: audio,
              videoTrackId: video,
            });
      await untilActive(sluice, egressId);
      await sleep(SETTLE_MS);
      const latencies = receiver.collect();
      await sleep(SECONDS * 1000);
      await finish(sluice, egressId);
      await receiver.stop();
      if (latencies.length === 0) throw new Error(`no frame of the ${kind} arrived\n${sluice.tail()}`);
      rows.push([
        kind,
        String(latencies.length),
        ...[median(latencies), percentile(latencies, 0.95), Math.max(...latencies)].map((ms) =>
          ms.toFixed(0),
        ),
        `≤ ${TARGET_MS}`,
        verdict(median(latencies), TARGET_MS),
      ]);
    }
    report('Room to RTMP destination, glass to glass', rows);
  });
}

/** An FFmpeg that is the RTMP server and decodes; pictures are read as they come. */
class Receiver {
  readonly url: string;
  readonly #child: ReturnType<typeof spawn>;
  #latencies: number[] = [];

  private constructor(url: string, child: ReturnType<typeof spawn>, publisher: TestPublisher) {
    this.url = url;
    this.#child = child;
    readPictures(child.stdout ?? null, SIZE, (counter, atMs) =>
      this.#latencies.push(atMs - (publisher.startedAtMs + (counter * 1000) / publisher.fps)),
    );
  }

  static async start(publisher: TestPublisher): Promise<Receiver> {
    const url = `rtmp://127.0.0.1:${await freePort()}/live/stream`;
    const child = spawn(
      'ffmpeg',
      [
        ...['-v', 'error', '-nostdin', '-fflags', 'nobuffer', '-flags', 'low_delay'],
        ...['-analyzeduration', '200000', '-probesize', '50000', '-threads', '1', '-listen', '1', '-i', url],
        ...['-an', '-vf', `scale=${SIZE.width}:${SIZE.height}:flags=area,format=yuv420p`],
        ...['-fps_mode', 'passthrough', '-f', 'rawvideo', 'pipe:1'],
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    await once(child, 'spawn');
    // It listens within a few milliseconds, and a destination that does not answer is tried again.
    await sleep(500);
    return new Receiver(url, child, publisher);
  }

  /** From now on; ms of each new frame. */
  collect(): readonly number[] {
    this.#latencies = [];
    return this.#latencies;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
