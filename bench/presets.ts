/**
 * LiveKit's eight presets, and a small VP8 and VP9, encoded as a composite encodes them: what comes out
 * against what was asked for, and what it costs. The pictures are hard ones: a zone plate that moves, and noise.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EncodingOptionsPreset } from '@livekit/protocol';
import { muxer, muxPad, videoEncoder } from '../pipelines/shared/encoders.ts';
import type { VideoEncoding } from '../pipelines/shared/protocol.ts';
import { ffprobe, ffprobePackets } from '../src/demo/content/ffprobe.ts';
import { runTool } from '../src/demo/content/tool.ts';
import { DEFAULT_VIDEO, presetPicture } from '../src/egress/plan/presets.ts';
import { report, say, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { spent, usage } from './lib/processes.ts';

const SECONDS = 12;
/** For VP8 and VP9, kbit/s. */
const SMALL = { width: 640, height: 360, bitrate: 800 };
/** What bitrates may be off by. */
const TARGET = 0.05;
const PICTURES = { 'zone plate': 'zone-plate kx2=20 ky2=20 kt=3', noise: 'snow' } as const;
type Picture = keyof typeof PICTURES;

interface Made {
  frames: number;
  size: string;
  /** kbit/s. */
  rate: number;
  /** Had it been live. */
  cores: number;
}

async function encode(folder: string, video: VideoEncoding, picture: Picture): Promise<Made> {
  const path = join(folder, 'encoded.mkv');
  const { width, height, framerate } = video;
  const text =
    `videotestsrc num-buffers=${SECONDS * framerate} pattern=${PICTURES[picture]} ! ` +
    `video/x-raw,format=I420,width=${width},height=${height},framerate=${framerate}/1 ! ` +
    `${videoEncoder(video, 'matroska', 2)} ! queue ! ${muxPad('matroska', 'video')} ` +
    `${muxer('matroska', { video: true, audio: false })} ! filesink location=${path}`;
  const before = usage([process.pid]);
  await runTool('gst-launch-1.0', ['-q', ...text.split(/\s+/)]);
  const cores = spent(before, usage([process.pid])).total / SECONDS;
  const found = await ffprobe(path);
  const packets = await ffprobePackets(path, 'v:0');
  const bits = packets.reduce((sum, { size }) => sum + size, 0) * 8;
  return {
    frames: packets.length,
    size: `${found.video?.width ?? 0}×${found.video?.height ?? 0}`,
    rate: bits / SECONDS / 1000,
    cores,
  };
}

function encodings(): [name: string, video: VideoEncoding, pictures: readonly Picture[]][] {
  const presets = Object.values(EncodingOptionsPreset).flatMap((preset) => {
    const picture = typeof preset === 'number' ? presetPicture(preset) : undefined;
    if (typeof preset !== 'number' || !picture) return [];
    const video: VideoEncoding = { ...DEFAULT_VIDEO, ...picture };
    return [[EncodingOptionsPreset[preset], video, ['zone plate', 'noise']] as const];
  });
  // VP8's coarsest step is not coarse enough for noise.
  const vpx = (['vp8', 'vp9'] as const).map(
    (codec) => [codec.toUpperCase(), { ...DEFAULT_VIDEO, ...SMALL, codec }, ['zone plate']] as const,
  );
  return [...presets, ...vpx].map(([name, video, pictures]) => [name, video, pictures]);
}

export async function main(): Promise<void> {
  await Owner.run(async (owner) => {
    const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    const rows = [
      ['preset', 'picture', 'size', 'frames', 'kbit/s', 'of', 'off by', 'cores, source included'],
    ];
    let worst = 0;
    for (const [name, video, pictures] of encodings()) {
      for (const picture of pictures) {
        const { frames, size, rate, cores } = await encode(folder, video, picture);
        const off = rate / video.bitrate - 1;
        worst = Math.max(worst, Math.abs(off));
        rows.push([
          ...[name, picture, size, `${frames} / ${SECONDS * video.framerate}`],
          ...[rate.toFixed(0), String(video.bitrate), `${(off * 100).toFixed(1)} %`, cores.toFixed(2)],
        ]);
        say(rows.at(-1)?.join('  ') ?? '');
      }
    }
    report(`Presets, ${SECONDS} s of hard pictures`, rows);
    say(`bitrates within ${TARGET * 100} %: ${verdict(worst, TARGET)}`);
  });
}
