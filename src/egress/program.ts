/** Copy or encode: the choice of program for an egress, from its plan and the tracks it found. Pure. */
import type { Container } from '../../pipelines/shared/protocol.ts';
import { containerFor } from './plan/codecs.ts';
import { EgressError } from './errors.ts';
import { isPage } from './page-source.ts';
import type { EgressPlan, FileOutput } from './plan/types.ts';

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

/** Whether the only output is a file of one of these kinds. */
function isOnly({ outputs }: EgressPlan, ...kinds: FileOutput['fileType'][]): boolean {
  const [output] = outputs;
  return outputs.length === 1 && output?.type === 'file' && kinds.includes(output.fileType);
}

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
    container: containerFor(plan),
    copyAudio: false,
    reason,
  });
  if (isPage(plan.source)) return encode('a page is drawn by a browser');
  if (plan.source.type === 'room') return encode('a room is composed into one picture');
  if (plan.choice.program === 'composite') return encode('the request has encoding options');

  if (plan.source.type === 'participant' || plan.source.type === 'media') {
    // Its tracks come and go, and several may be heard: only a picture beside a mixed sound can be copied.
    const copied = video?.toLowerCase() === 'video/h264' && containerFor(plan) === 'mpegts';
    if (!copied) return encode(`${video ?? 'sound alone'} is encoded where tracks come and go`);
    return { program: 'passthrough', container: 'mpegts', copyAudio: false, reason: 'H264 is copied' };
  }

  const copiesSound = audio === undefined || audio.toLowerCase() === 'audio/opus';
  switch (video?.toLowerCase()) {
    case 'video/h264':
      if (containerFor(plan) === 'matroska') return encode('H264 is not what was asked for');
      return { program: 'passthrough', container: 'mpegts', copyAudio: false, reason: 'H264 is copied' };
    case 'video/vp8':
    case 'video/vp9':
      // Two copied streams cannot share a Matroska: its muxer waits for the one that is muted.
      if (isOnly(plan, 'auto', 'webm') && audio === undefined) {
        return {
          program: 'passthrough',
          container: 'matroska',
          copyAudio: true,
          reason: `${video} is copied`,
        };
      }
      return encode(`${video} with sound, or for MP4, MPEG-TS or FLV, is encoded`);
    default: {
      // Sound alone.
      if (copiesSound && isOnly(plan, 'auto', 'ogg', 'webm')) {
        return { program: 'passthrough', container: 'matroska', copyAudio: true, reason: 'Opus is copied' };
      }
      return encode('sound alone is encoded');
    }
  }
}
