/** FFmpeg's arguments for pulling a source into Matroska on its standard output, with little delay. */
import { ffmpegArguments } from '../../../pipeline/ffmpeg.ts';

/**
 * `copy`: as it is. `pcm`: decoded, for what Matroska cannot take without knowing the end: AAC in ADTS, as MPEG-TS and
 * HLS carry it, and codecs GStreamer does not know.
 */
export type AudioMode = 'copy' | 'pcm';

export interface PullArguments {
  /** Options before `-i`. */
  options: readonly string[];
  /** What is opened. */
  url: string;
  audio: AudioMode;
}

export function pullArguments({ options, url, audio }: PullArguments): string[] {
  return ffmpegArguments((command) =>
    command
      .input(url)
      // Information: what the source holds is read from it (source-dump.ts).
      .inputOptions('-loglevel', 'info', '-nostats', ...options)
      // V: no cover art. What is not there is left out; that nothing is there, FFmpeg tells.
      .outputOptions('-map', '0:V:0?', '-map', '0:a:0?', '-sn', '-dn')
      .outputOptions('-map_metadata', '-1', '-map_chapters', '-1')
      .outputOptions('-c:v', 'copy', '-c:a', audio === 'copy' ? 'copy' : 'pcm_s16le')
      // A packet leaves when the next one comes: each is a cluster of its own, and one kind does not wait for the other.
      .outputOptions('-f', 'matroska', '-live', '1', '-cluster_time_limit', '0', '-write_crc32', '0')
      .outputOptions(
        '-flush_packets',
        '1',
        '-max_interleave_delta',
        '100000',
        '-max_muxing_queue_size',
        '4096',
      )
      .outputOptions('-protocol_whitelist', 'pipe')
      .output('pipe:1'),
  );
}

/** Containers that are read: those that hold their media themselves, so that no file leads to another. */
const CONTAINERS = [
  ...[
    'aac',
    'aiff',
    'amr',
    'asf',
    'au',
    'avi',
    'caf',
    'flac',
    'flv',
    'h264',
    'hevc',
    'ivf',
    'live_flv',
    'matroska',
  ],
  ...['mjpeg', 'mov', 'mp3', 'mpeg', 'mpegts', 'mpegvideo', 'mpjpeg', 'ogg', 'w64', 'wav', 'webm'],
];

export const FILE_FORMATS = CONTAINERS.join(',');
/** And HLS, whose playlists the guard's proxy reads first. */
export const WEB_FORMATS = [...CONTAINERS, 'hls'].join(',');
/**
 * For live sources: looked into until everything is known, at most as long as a keyframe may take to come, and not a
 * moment longer to guess the frame rate.
 */
export const LIVE_ANALYSIS = ['-analyzeduration', '5000000', '-fpsprobesize', '2'] as const;
