/** Copy or encode: the choice of program for an egress, from its plan and the tracks it found. Pure. */
import type { Container } from '../../pipelines/shared/protocol.ts';
import { EgressError } from './errors.ts';
import type { EgressOutput, EgressPlan } from './plan-types.ts';

/** What runs, and why: the reason is shown in the log. */
export interface Program {
  program: 'passthrough' | 'composite';
  container: Container;
  /** Passthrough: Opus is kept as it is. */
  copyAudio: boolean;
  reason: string;
}

/** Codecs that can be received at all. AV1 has no depayloader in GStreamer 1.22. */
const READABLE = new Set(['video/h264', 'video/vp8', 'video/vp9', 'audio/opus', 'audio/pcmu', 'audio/pcma']);

export function isReadable(mimeType: string): boolean {
  return READABLE.has(mimeType.toLowerCase());
}

/** @throws EgressError naming the codec when a track of it cannot be recorded. */
export function assertReadable(mimeType: string): void {
  if (isReadable(mimeType)) return;
  throw new EgressError(
    'user',
    `cannot record ${mimeType}: supported are H264, VP8, VP9, Opus, PCMU and PCMA; publish the track with one of them`,
  );
}

const isMp4 = (output: EgressOutput) => output.type === 'file' && output.fileType === 'mp4';

/**
 * @param video mimeType of the video track, undefined without one.
 * @param audio mimeType of the audio track, undefined without one.
 * @throws EgressError when a codec cannot be read, or not put into the container that was asked for.
 */
export function chooseProgram(
  plan: EgressPlan,
  video: string | undefined,
  audio: string | undefined,
): Program {
  if (video !== undefined) assertReadable(video);
  if (audio !== undefined) assertReadable(audio);
  const encode = (reason: string): Program => ({
    program: 'composite',
    container: 'mpegts',
    copyAudio: false,
    reason,
  });
  if (plan.source.type === 'room') return encode('a room is composed into one picture');
  if (plan.choice.program === 'composite') return encode('the request has encoding options');

  const file = plan.outputs.find((output) => output.type === 'file');
  const onlyFile = file !== undefined && plan.outputs.length === 1;
  switch (video?.toLowerCase()) {
    case 'video/h264':
      if (file?.type === 'file' && file.fileType === 'webm') {
        throw new EgressError('user', 'H264 cannot be put into WebM: ask for MP4, or leave file_type empty');
      }
      return { program: 'passthrough', container: 'mpegts', copyAudio: false, reason: 'H264 is copied' };
    case 'video/vp8':
    case 'video/vp9':
      if (onlyFile && !isMp4(file) && audio === undefined) {
        return {
          program: 'passthrough',
          container: 'matroska',
          copyAudio: true,
          reason: `${video} is copied`,
        };
      }
      return encode(`${video} does not go into MP4, MPEG-TS or FLV`);
    default: {
      // Sound alone.
      const opus = audio?.toLowerCase() === 'audio/opus';
      if (opus && onlyFile && !isMp4(file)) {
        return { program: 'passthrough', container: 'matroska', copyAudio: true, reason: 'Opus is copied' };
      }
      return encode('sound alone is encoded');
    }
  }
}
