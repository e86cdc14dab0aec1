/**
 * Passthrough recording (H.264 copied, Opus to AAC) against FFmpeg doing the same to the same RTP, at the same time.
 *
 * Counted for Sluice: the pipeline, FFmpeg's final remux, and what the worker's and the server's Node, Redis and
 * mediasoup use more than before. For FFmpeg: its process and what mediasoup uses more than before. Publishers are
 * on neither side.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput } from 'livekit-server-sdk';
import { trackIds } from '../test/support/callers.ts';
import { ffprobe } from '../src/demo/content/ffprobe.ts';
import { FfmpegRecorder } from './lib/ffmpeg-recorder.ts';
import { report, say, spread, verdict, median } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { between, PARTS, read } from './lib/parts.ts';
import type { Part } from './lib/parts.ts';
import { memory, named, spent, usage } from './lib/processes.ts';
import { COLORS, finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';

const TARGET = 1.5;
/** Recordings at once on each side, of the same tracks: noise counts less. */
const COUNT = 4;
const IDLE_MS = 8000;
const ALONE_MS = 10_000;
const SECONDS = 40;
/** Of the recording, left out at both ends of what is called steady. */
const EDGE_MS = 3000;

/** One measurement of both sides. */
export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const parts = await startParts(owner);
    const { sluice } = parts;
    const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    await publishAll(owner, sluice, 1, { width: 1280, height: 720, videoBitrate: 2000 });
    const { audio, video } = await trackIds(sluice, ROOM, COLORS[0]!);
    if (audio === undefined || video === undefined) throw new Error('the publisher has no tracks');
    await sleep(2000);

    const idle0 = read(parts);
    await sleep(IDLE_MS);
    const idle = between(idle0, read(parts));
    /** CPU seconds beyond what `seconds` of idling would have used. */
    const beyondIdle = (part: Part, cpu: Record<Part, number>, seconds: number) =>
      cpu[part] - (idle.cpu[part] / idle.seconds) * seconds;

    const recorders: FfmpegRecorder[] = [];
    const firstPort = 40_000 + 8 * Math.floor(Math.random() * 500);
    for (let index = 0; index < COUNT; index++) {
      const recorder = await FfmpegRecorder.start({
        ...{ sluice, room: ROOM, folder, audioTrackId: audio, videoTrackId: video },
        ...{ name: `ffmpeg-${index}`, port: firstPort + 4 * index },
      });
      recorders.push(owner.own(recorder, (each) => each.stop()));
    }
    await sleep(2000);
    const alone0 = read(parts);
    await sleep(ALONE_MS);
    const alone = between(alone0, read(parts));
    const ffmpegMediasoup = beyondIdle('mediasoup', alone.cpu, alone.seconds) / alone.seconds / COUNT;

    const start = read(parts);
    const egresses: string[] = [];
    for (let index = 0; index < COUNT; index++) {
      const { egressId } = await sluice.egress.startTrackCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath: `bench/${index}` }) },
        { audioTrackId: audio, videoTrackId: video },
      );
      egresses.push(egressId);
    }
    for (const egressId of egresses) await untilActive(sluice, egressId);
    await sleep(EDGE_MS);
    const ffmpegPids = recorders.map(({ pid }) => pid);
    const steady0 = read(parts);
    const ffmpeg0 = usage(ffmpegPids);
    await sleep(SECONDS * 1000 - 2 * EDGE_MS);
    const steady1 = read(parts);
    const ffmpeg1 = usage(ffmpegPids);
    const pipelines = named(parts.workerPid, 'gjs').filter(
      (pid) =>
        (steady1.usage.worker.live.get(pid)?.seconds ?? 0) -
          (steady0.usage.worker.live.get(pid)?.seconds ?? 0) >
        0.05,
    );
    const [ours, theirs, node] = [memory(pipelines), memory(ffmpegPids), memory([parts.workerPid])];
    await sleep(EDGE_MS);
    const infos = await Promise.all(egresses.map((egressId) => finish(sluice, egressId)));
    const done = read(parts);
    for (const recorder of recorders) await recorder.stop();

    const steady = between(steady0, steady1);
    const whole = between(start, done);
    const perRecording = (seconds: number) => seconds / COUNT;
    const mediasoupRest = (reading: typeof steady) =>
      perRecording(beyondIdle('mediasoup', reading.cpu, reading.seconds)) / reading.seconds - ffmpegMediasoup;
    const rate = (reading: typeof steady, part: Part) =>
      part === 'mediasoup'
        ? mediasoupRest(reading)
        : perRecording(beyondIdle(part, reading.cpu, reading.seconds)) / reading.seconds;
    const ffmpegRate = perRecording(spent(ffmpeg0, ffmpeg1).total) / steady.seconds;
    const ourSteady = PARTS.reduce((sum, part) => sum + rate(steady, part), 0);
    const theirSteady = ffmpegRate + ffmpegMediasoup;

    // The whole job: from StartEgress to the finished file, FFmpeg's start left out.
    const recorded = median(infos.map(({ fileResults }) => Number(fileResults[0]?.duration ?? 0n) / 1e9));
    const ourJob = PARTS.reduce(
      (sum, part) => sum + rate(whole, part) * whole.seconds,
      perRecording(whole.cpu.ended),
    );
    const theirJob = theirSteady * recorded;
    const fixed = ourJob - ourSteady * recorded;
    const files = await Promise.all(recorders.map(({ file }) => ffprobe(file)));
    const milli = (cores: number) => (cores * 1000).toFixed(1);

    report(`Passthrough, ${COUNT} recordings at once of 1280x720 at 2 Mbit/s, for each recording`, [
      ['thousandths of a core while recording', 'Sluice', 'FFmpeg'],
      ['pipeline / FFmpeg', milli(rate(steady, 'pipeline')), milli(ffmpegRate)],
      ['mediasoup', milli(rate(steady, 'mediasoup')), milli(ffmpegMediasoup)],
      ['worker (Node)', milli(rate(steady, 'worker (Node)')), '-'],
      ['server (Node)', milli(rate(steady, 'server (Node)')), '-'],
      ['Redis', milli(rate(steady, 'Redis')), '-'],
      ['total', milli(ourSteady), milli(theirSteady)],
      ['PSS of the process, MB', (ours.pss / pipelines.length).toFixed(0), (theirs.pss / COUNT).toFixed(0)],
      ['RSS of the process, MB', (ours.rss / pipelines.length).toFixed(0), (theirs.rss / COUNT).toFixed(0)],
    ]);
    say(`worker's Node: ${node.pss.toFixed(0)} MB PSS for all of them`);
    const ratio = ourSteady / theirSteady;
    report('Ratio', [
      ['what', 'value', 'target', ''],
      ['CPU while recording', spread([ratio]), `≤ ${TARGET}`, verdict(ratio, TARGET)],
      [
        `CPU of a whole job of ${recorded.toFixed(0)} s, start and file included`,
        spread([ourJob / theirJob]),
        '',
        '',
      ],
      ['CPU seconds of starting and finishing a recording', fixed.toFixed(2), '', ''],
      [
        'CPU of a whole job of 10 min (start and finish as above)',
        ((ourSteady * 600 + fixed) / (theirSteady * 600)).toFixed(2),
        '',
        '',
      ],
    ]);
    say(
      `recorded: Sluice ${recorded.toFixed(1)} s, FFmpeg ${median(files.map(({ duration }) => duration ?? 0)).toFixed(1)} s`,
    );
  });
}
