/**
 * The 2x2 composite to 720p30, against x264 alone encoding the same picture with the same settings at the same time.
 *
 * Counted for Sluice: the pipeline (RTP, decoding, composing, encoding, sound, log), and what the worker's and the
 * server's Node, mediasoup and Redis use more than before. For x264: a GStreamer process that encodes the decoded
 * pictures of an earlier recording of the same room at 30 frames a second, less what the same process uses without
 * the encoder. Start and end of the recording are left out on both sides.
 *
 * The four publishers send one layer of 640x360, which is what a tile of this grid would get of a simulcast
 * publisher: the work is the same, and the publishers leave the machine to what is measured.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput } from 'livekit-server-sdk';
import { h264Encoder } from '../pipelines/shared/encoders.ts';
import { DEFAULT_VIDEO } from '../src/egress/plan/presets.ts';
import { runTool } from '../src/demo/content/tool.ts';
import { PacedGst, rawPictures } from './lib/gst.ts';
import { median, report, say, spread, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { memory, named } from './lib/processes.ts';
import { between, PARTS, read } from './lib/parts.ts';
import { finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';

const TARGET = 1.4;
const IDLE_MS = 6000;
/** Seconds of raw pictures: 41 MB each. */
const CLIP_SECONDS = 12;
const ROUND_MS = 8000;
const ROUNDS = 4;
const CPUS = 4;

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const parts = await startParts(owner);
    const { sluice } = parts;
    const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    await publishAll(owner, sluice, 4);
    await sleep(2000);
    const idle0 = read(parts);
    await sleep(IDLE_MS);
    const idle = between(idle0, read(parts));

    const record = (filepath: string) =>
      sluice.egress.startRoomCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath }) },
        { layout: 'grid' },
      );
    const first = await record('bench/clip');
    await untilActive(sluice, first.egressId);
    await sleep((CLIP_SECONDS + 2) * 1000);
    const clip = await finish(sluice, first.egressId);
    const raw = join(folder, 'clip.yuv');
    await runTool('ffmpeg', [
      ...['-v', 'error', '-ss', '1.5', '-i', clip.fileResults[0]!.location, '-t', String(CLIP_SECONDS)],
      ...['-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-y', raw],
    ]);

    const { egressId } = await record('bench/measured');
    await untilActive(sluice, egressId);
    await sleep(2500);
    const { width, height, framerate } = DEFAULT_VIDEO;
    const pictures = rawPictures(raw, { width, height, framerate });
    const ratios: number[] = [];
    const rows: string[][] = [['cores', ...PARTS, 'Sluice', 'x264', 'source', 'ratio']];
    let memories = { ours: '', theirs: '' };
    for (let round = 0; round < ROUNDS; round++) {
      const encoding = owner.own(
        await PacedGst.start(`${pictures} ! ${h264Encoder(DEFAULT_VIDEO, CPUS)} ! fakesink sync=true`),
        (each) => each.stop(),
      );
      const source = owner.own(await PacedGst.start(`${pictures} ! fakesink sync=true`), (each) =>
        each.stop(),
      );
      await sleep(1000);
      const [before, x264Before, sourceBefore] = [read(parts), encoding.cpu(), source.cpu()];
      await sleep(ROUND_MS);
      const [after, x264After, sourceAfter] = [read(parts), encoding.cpu(), source.cpu()];
      encoding.assertRunning();
      const { seconds, cpu } = between(before, after);
      const ours = PARTS.map((part) => cpu[part] / seconds - idle.cpu[part] / idle.seconds);
      const total = ours.reduce((sum, cores) => sum + cores, 0);
      const sourceCores = (sourceAfter - sourceBefore) / seconds;
      const x264 = (x264After - x264Before) / seconds - sourceCores;
      ratios.push(total / x264);
      rows.push([
        `round ${round + 1}`,
        ...[...ours, total, x264, sourceCores].map((cores) => cores.toFixed(3)),
        (total / x264).toFixed(2),
      ]);
      const [mine, other] = [memory(busiest(parts.workerPid)), memory([encoding.pid])];
      const text = ({ pss, rss }: { pss: number; rss: number }) =>
        `${pss.toFixed(0)} MB PSS, ${rss.toFixed(0)} MB RSS`;
      memories = { ours: text(mine), theirs: text(other) };
      await encoding.stop();
      await source.stop();
    }
    await finish(sluice, egressId);

    report('2x2 composite of four 640x360 publishers, 1280x720 at 30, x264 veryfast 3 Mbit/s', rows);
    say(`memory: pipelines ${memories.ours}; x264's process ${memories.theirs}`);
    report('Ratio', [
      ['what', 'value', 'target', ''],
      ['CPU against x264', spread(ratios), `≤ ${TARGET}`, verdict(median(ratios), TARGET)],
    ]);
  });
}

/** Pipelines below the worker, the spare one too: it is there because of the egress. */
function busiest(workerPid: number): number[] {
  return named(workerPid, 'gjs');
}
