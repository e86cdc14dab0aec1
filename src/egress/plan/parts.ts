/** What the planning of every request shares. Pure. */
import { AudioMixing } from '@livekit/protocol';
import type { WebhookConfig } from '@livekit/protocol';
import { LAYOUT_NAMES } from './types.ts';
import type { AudioMixingName, EgressPlan, EgressSource, LayoutName } from './types.ts';
import { DEFAULT_KEY_FRAME_INTERVAL } from './presets.ts';
import type { Encoding, EncodingChoice } from '../request/encoding.ts';
import { invalid } from '../request/errors.ts';
import type { EgressOptions } from '../request/options.ts';
import { checkWebhooks } from '../request/webhooks.ts';

export interface PlanContext {
  egressId: string;
  /** Kind of the track a TrackEgressRequest names; taken for video when not known. */
  trackKind?: 'audio' | 'video' | undefined;
  /** Sluice's own; none when left out. */
  options?: EgressOptions;
}

/** A picture as it is asked for; where it is cut into segments keyframes come closer, see settleCodecs. */
export function picture({ video, requestedKeyFrameInterval }: Encoding): EgressPlan['video'] {
  return { ...video, keyFrameInterval: requestedKeyFrameInterval ?? DEFAULT_KEY_FRAME_INTERVAL };
}

/** @throws RequestError */
export function checkCommon(request: { roomName: string; webhooks: readonly WebhookConfig[] }): void {
  if (request.roomName === '') throw invalid('room_name', 'name the room');
  checkWebhooks(request.webhooks);
}

/** Encoding options mean that the request wants encoding; without them what can be copied is. */
export function choiceOf(options: EncodingChoice): EgressPlan['choice'] {
  return { program: options.case === undefined ? 'auto' : 'composite' };
}

/** @throws RequestError */
export function checkEither({ audioOnly, videoOnly }: { audioOnly: boolean; videoOnly: boolean }): void {
  if (audioOnly && videoOnly) throw invalid('audio_only and video_only', 'at most one of them can be true');
}

/**
 * A layout by its name; empty is `grid`.
 * @throws RequestError that names those there are
 */
export function layoutOf(layout: string): LayoutName {
  const name = LAYOUT_NAMES.find((each) => each === (layout || 'grid'));
  if (name !== undefined) return name;
  throw invalid(
    'layout',
    `there is no layout "${layout.slice(0, 64)}"; use one of ${LAYOUT_NAMES.join(', ')}`,
  );
}

/** @throws RequestError */
export function mixingOf(mixing: AudioMixing): AudioMixingName {
  switch (mixing) {
    case AudioMixing.DEFAULT_MIXING:
      return 'default';
    case AudioMixing.DUAL_CHANNEL_AGENT:
      return 'dual-agent';
    case AudioMixing.DUAL_CHANNEL_ALTERNATE:
      return 'dual-alternate';
    default:
      throw invalid(
        'audio_mixing',
        `${String(mixing)} is not a mixing; use DEFAULT_MIXING, DUAL_CHANNEL_AGENT or DUAL_CHANNEL_ALTERNATE`,
      );
  }
}

/** @throws RequestError for a mixing where we mix no sound */
function checkMixing(
  mixing: AudioMixingName,
  { customBaseUrl, videoOnly }: { customBaseUrl: string; videoOnly: boolean },
): void {
  if (mixing === 'default') return;
  if (videoOnly) throw invalid('audio_mixing', 'with video_only no sound is recorded; leave it out');
  if (customBaseUrl !== '') {
    throw invalid('audio_mixing', 'with custom_base_url the sound is what the template plays; leave it out');
  }
}

/** What a room composite and v2's template have in common. @throws RequestError */
export function roomSource(
  request: { layout: string; customBaseUrl: string; audioOnly: boolean; videoOnly: boolean },
  audioMixing: AudioMixingName,
): EgressSource {
  checkEither(request);
  checkMixing(audioMixing, request);
  const { layout, customBaseUrl, audioOnly, videoOnly } = request;
  if (customBaseUrl === '') {
    return { type: 'room', layout: layoutOf(layout), audioOnly, videoOnly, audioMixing };
  }
  checkPageUrl('custom_base_url', customBaseUrl);
  // A template may know layouts that we do not.
  const known = LAYOUT_NAMES.find((each) => each === layout) ?? 'grid';
  return {
    ...{ type: 'room', layout: known, audioOnly, videoOnly, audioMixing },
    ...{ customBaseUrl, templateLayout: layout },
  };
}

/** @throws RequestError unless it is an http(s) URL; the message shows no more of it than its scheme */
export function checkPageUrl(field: string, url: string): void {
  const parsed = URL.parse(url);
  if (parsed && /^https?:$/.test(parsed.protocol) && parsed.hostname !== '') return;
  throw invalid(field, 'it must be a URL, http://host/path or https://host/path');
}
