/**
 * Images of a recording's keyframes, as an images output makes them of the segment log, against a pipeline that decodes
 * the recording to take the same images. CPU time of everything on each side, for one 720p30 picture.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { runTool } from '../src/demo/content/tool.ts';
import type { Chunk } from '../src/egress/log/types.ts';
import { SegmentLogWriter } from '../src/egress/log/writer.ts';
import { ImagesOutput } from '../src/egress/outputs/images/index.ts';
import { joinChunks } from '../src/egress/outputs/join.ts';
import { ffmpegArguments, runFfmpeg } from '../src/pipeline/ffmpeg.ts';
import { LocalStorage } from '../src/storage/local.ts';
import { report, say, spread, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { spent, usage } from './lib/processes.ts';

const SECONDS = 60;
const KEY_FRAME_S = 2;
const ROUNDS = 3;
/** Seconds between images: LiveKit's default, one a keyframe, and one between keyframes too. */
const INTERVALS = [10, 2, 1];
/** Of a core, for the default interval. */
const TARGET = 0.02;

const logger = pino({ level: 'silent' });

async function makeLog(dir: string): Promise<Chunk[]> {
  const log = await SegmentLogWriter.open({
    ...{ dir, egressId: 'EG_bench', attempt: 1, epochMs: Date.now(), container: 'mpegts', logger },
  });
  const chunks: Chunk[] = [];
  log.onChunk((chunk) => chunks.push(chunk));
  await runTool('ffmpeg', [
    ...['-v', 'error', '-f', 'lavfi', '-i', `testsrc2=s=1280x720:r=30:d=${SECONDS},noise=alls=12:allf=t`],
    ...[
      '-c:v',
      'libx264',
      '-preset',
      'veryfast',
      '-tune',
      'zerolatency',
      '-b:v',
      '3M',
      '-pix_fmt',
      'yuv420p',
    ],
    ...['-g', String(30 * KEY_FRAME_S), '-sc_threshold', '0', '-f', 'segment'],
    // FFmpeg 5.1 begins a segmented stream an hour early.
    ...['-segment_time', String(KEY_FRAME_S), '-segment_format', 'mpegts', '-output_ts_offset', '3600'],
    ...['-muxdelay', '0', '-muxpreload', '0', join(log.folder, 'r0-%06d.ts')],
  ]);
  const files = (await readdir(log.folder)).filter((name) => name.endsWith('.ts')).sort();
  for (const [i, file] of files.entries())
    await log.addChunk({ file, startNs: i * KEY_FRAME_S * 1e9, durationNs: 0 });
  await log.close();
  return chunks;
}

interface Cost {
  /** Share of a core, had the recording been live. */
  cores: number;
  images: number;
  decoded: number;
}

async function measured(work: () => Promise<Omit<Cost, 'cores'>>): Promise<Cost> {
  const before = usage([process.pid]);
  const made = await work();
  return { ...made, cores: spent(before, usage([process.pid])).total / SECONDS };
}

async function ofTheLog(chunks: readonly Chunk[], interval: number, folder: string): Promise<Cost> {
  return measured(async () => {
    const output = new ImagesOutput({
      ...{ storage: new LocalStorage(folder), prefix: 'log', suffix: 'index', captureInterval: interval },
      ...{ width: 0, height: 0, container: 'mpegts', scratch: join(folder, 'scratch'), earlier: [], logger },
    });
    for (const chunk of chunks) output.push(chunk);
    const { images, decoded } = await output.finish();
    return { images: images.length, decoded };
  });
}

/** What an egress does that hangs images onto its pipeline: every picture is decoded, a few are kept. */
async function ofAPipeline(chunks: readonly Chunk[], interval: number, folder: string): Promise<Cost> {
  const pictures = join(folder, 'pipeline');
  const cost = await measured(async () => {
    await runTool('mkdir', ['-p', pictures]);
    await runFfmpeg({
      args: ffmpegArguments((command) => {
        command.input('pipe:0').inputOptions('-threads', '1', '-f', 'mpegts');
        command.output(join(pictures, '%05d.jpeg')).outputOptions('-an', '-filter:v', `fps=1/${interval}`);
        command.outputOptions('-threads', '1', '-c:v', 'mjpeg', '-q:v', '3', '-f', 'image2');
      }),
      input: joinChunks(chunks, 'mpegts'),
      logger,
    });
    return { images: (await readdir(pictures)).length, decoded: SECONDS * 30 };
  });
  await rm(pictures, { recursive: true, force: true });
  return cost;
}

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    say(`a recording of ${SECONDS} s is made`);
    const chunks = await makeLog(join(folder, 'log'));
    const rows = [['interval', 'images', 'decoded besides', 'of the log, cores', 'decoding, cores', 'ratio']];
    let worst = 0;
    for (const interval of INTERVALS) {
      const log: Cost[] = [];
      const pipeline: Cost[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        log.push(await ofTheLog(chunks, interval, folder));
        pipeline.push(await ofAPipeline(chunks, interval, folder));
      }
      const cores = log.map((cost) => cost.cores);
      if (interval === INTERVALS[0]) worst = Math.max(...cores);
      rows.push([
        `${interval} s`,
        `${log[0]?.images ?? 0} / ${pipeline[0]?.images ?? 0}`,
        String(log[0]?.decoded ?? 0),
        spread(cores, 4),
        spread(
          pipeline.map((cost) => cost.cores),
          4,
        ),
        spread(log.map((cost, i) => (pipeline[i]?.cores ?? NaN) / cost.cores)),
      ]);
    }
    report(`Images of one 1280×720 picture at 30, a keyframe every ${KEY_FRAME_S} s`, rows);
    say(`every ${INTERVALS[0]} s at most ${TARGET} of a core: ${verdict(worst, TARGET)}`);
  });
}
