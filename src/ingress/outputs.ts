/** A plan made into what the pipeline is told: payload types and SSRCs, and sizes when the source's changes. */
import { randomInt } from 'node:crypto';
import type { IngressInfo } from '@livekit/protocol';
import type { AudioOutput, VideoOutput } from '../../pipelines/shared/ingress-protocol.ts';
import { InputError } from './inputs/types.ts';
import { resizeLayers } from './layers.ts';
import { planMedia } from './plan.ts';
import type { AudioPlan, SourceMedia, VideoPlan } from './plan.ts';
import { videoEncoding } from './presets.ts';

/** Any will do, as the router maps them; these are its own. */
const PAYLOAD_TYPES = { h264: 108, vp8: 96, opus: 111 } as const;

export interface RunOutputs {
  video: VideoOutput | null;
  audio: AudioOutput | null;
  /** What was chosen and why, for people. */
  note: string;
}

/** What goes into the room of a source, with fresh SSRCs. @throws InputError (no retry) when there is nothing in it */
export function outputsFor(info: IngressInfo, source: SourceMedia): RunOutputs {
  const plan = planMedia(info, source);
  if (!plan.video && !plan.audio) {
    throw new InputError('the source holds neither video nor audio', { retry: false });
  }
  return {
    video: plan.video && videoOutput(plan.video),
    audio: plan.audio && audioOutput(plan.audio),
    note: plan.note,
  };
}

/** The layers of a source that has another size now; undefined when nothing changes. */
export function resized(
  info: IngressInfo,
  video: VideoOutput | null,
  source: { width: number; height: number },
): { width: number; height: number }[] | undefined {
  if (video?.mode !== 'encode') return undefined;
  const sizes = resizeLayers(videoEncoding(info.video), source, video.layers.length);
  const same = video.layers.every(
    ({ width, height }, at) => sizes[at]?.width === width && sizes[at].height === height,
  );
  return same ? undefined : sizes.map(({ width, height }) => ({ width, height }));
}

function videoOutput(plan: VideoPlan): VideoOutput {
  const payloadType = PAYLOAD_TYPES[plan.codec];
  if (plan.mode === 'copy') return { ...plan, payloadType, ssrc: newSsrc() };
  return { ...plan, payloadType, layers: plan.layers.map((layer) => ({ ...layer, ssrc: newSsrc() })) };
}

function audioOutput(plan: AudioPlan): AudioOutput {
  return { ...plan, payloadType: PAYLOAD_TYPES.opus, ssrc: newSsrc() };
}

function newSsrc(): number {
  return randomInt(1, 2 ** 32 - 1);
}
