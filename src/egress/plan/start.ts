/** LiveKit's v2 StartEgress -> plan. Pure. */
import {
  AudioChannel,
  DirectFileOutput,
  EncodedFileType,
  EncodingOptionsPreset,
  ParticipantInfo_Kind,
} from '@livekit/protocol';
import type { AudioRoute as AudioRouteRequest, MediaSource, StartEgressRequest } from '@livekit/protocol';
import { idOf, planEncoded } from './encoded.ts';
import { checkCommon, checkEither, checkPageUrl, choiceOf, picture, roomSource } from './parts.ts';
import type { PlanContext } from './parts.ts';
import type { AudioChannelName, AudioRoute, EgressPlan, EgressSource, ParticipantKindName } from './types.ts';
import { encodingOf } from '../request/encoding.ts';
import type { EncodingChoice } from '../request/encoding.ts';
import { isKnownValue } from '../request/enums.ts';
import { invalid } from '../request/errors.ts';
import { listed } from '../request/listed.ts';
import { directFile } from '../request/outputs.ts';
import { StorageList } from '../request/storage.ts';
import { checkWebhooks } from '../request/webhooks.ts';

/** More rules than this are a mistake. */
const MAX_ROUTES = 100;

const CHANNELS: ReadonlyMap<AudioChannel, AudioChannelName> = new Map([
  [AudioChannel.BOTH, 'both'],
  [AudioChannel.LEFT, 'left'],
  [AudioChannel.RIGHT, 'right'],
]);

const KINDS: ReadonlyMap<ParticipantInfo_Kind, ParticipantKindName> = new Map([
  [ParticipantInfo_Kind.STANDARD, 'standard'],
  [ParticipantInfo_Kind.INGRESS, 'ingress'],
  [ParticipantInfo_Kind.EGRESS, 'egress'],
  [ParticipantInfo_Kind.SIP, 'sip'],
  [ParticipantInfo_Kind.AGENT, 'agent'],
]);

function routeOf({ match, channel: value }: AudioRouteRequest): AudioRoute {
  const channel = CHANNELS.get(value);
  if (channel === undefined) {
    throw invalid(
      'audio.routes.channel',
      `${String(value)} is not a channel; use AUDIO_CHANNEL_BOTH, AUDIO_CHANNEL_LEFT or AUDIO_CHANNEL_RIGHT`,
    );
  }
  switch (match.case) {
    case 'trackId':
      if (match.value !== '') return { trackId: match.value, channel };
      break;
    case 'participantIdentity':
      if (match.value !== '') return { identity: match.value, channel };
      break;
    case 'participantKind': {
      const kind = KINDS.get(match.value);
      if (kind !== undefined) return { kind, channel };
      throw invalid(
        'audio.routes.participant_kind',
        `${isKnownValue(ParticipantInfo_Kind, match.value) ? ParticipantInfo_Kind[match.value] : String(match.value)} is never in a room; use STANDARD, INGRESS, SIP or AGENT`,
      );
    }
    case undefined:
      break;
  }
  throw invalid('audio.routes', 'each route names a track_id, a participant_identity or a participant_kind');
}

function mediaVideo({ video }: MediaSource): Extract<EgressSource, { type: 'media' }>['video'] {
  switch (video.case) {
    case undefined:
      return null;
    case 'videoTrackId':
      if (video.value === '') throw invalid('media.video_track_id', 'name the track');
      return { trackId: video.value };
    case 'participantVideo': {
      const { identity, preferScreenShare } = video.value;
      if (identity === '') throw invalid('media.participant_video.identity', 'name the participant');
      return { identity, preferScreenShare };
    }
  }
}

function mediaSource(media: MediaSource): Extract<EgressSource, { type: 'media' }> {
  const video = mediaVideo(media);
  const { audio } = media;
  if (audio && audio.routes.length > MAX_ROUTES) {
    throw invalid('audio.routes', `${audio.routes.length} are too many; use at most ${MAX_ROUTES}`);
  }
  if (audio && !audio.captureAll && audio.routes.length === 0) {
    throw invalid('media.audio', 'set capture_all, or name in routes what is to be heard');
  }
  if (!video && !audio) throw invalid('media', 'name a picture (video_track_id, participant_video) or audio');
  const sound = audio ? { captureAll: audio.captureAll, routes: audio.routes.map(routeOf) } : null;
  return { type: 'media', video, audio: sound };
}

function sourceOf({ source }: StartEgressRequest): EgressSource {
  switch (source.case) {
    case undefined:
      throw invalid('source', 'name one of template, web and media');
    case 'template':
      return roomSource(source.value, 'default');
    case 'web': {
      checkPageUrl('web.url', source.value.url);
      checkEither(source.value);
      const { url, audioOnly, videoOnly, awaitStartSignal } = source.value;
      return { type: 'web', url, audioOnly, videoOnly, awaitStartSignal };
    }
    case 'media':
      return mediaSource(source.value);
  }
}

/**
 * PASSTHROUGH: one track into one file of its own kind, as TrackEgress does it.
 * @throws RequestError for anything else, as LiveKit
 */
function planPassthrough(
  request: StartEgressRequest,
  source: EgressSource,
  context: PlanContext,
): EgressPlan {
  const refuse = (why: string) =>
    invalid(
      'preset',
      `PASSTHROUGH copies one track into one file of DEFAULT_FILETYPE: ${why}; leave encoding empty, and what can be copied is`,
    );
  if (source.type !== 'media') throw refuse('the source has to be media');
  const { video, audio } = source;
  const [route] = audio?.routes ?? [];
  const audioTrackId =
    audio && !audio.captureAll && audio.routes.length === 1 && route && 'trackId' in route
      ? route.trackId
      : undefined;
  if (audio && audioTrackId === undefined) throw refuse('audio has to be one route with a track_id');
  if (route && route.channel !== 'both') throw refuse('a copied sound cannot be put on one channel');
  if (video && !('trackId' in video)) throw refuse('the picture has to be a video_track_id');
  if (video && audio) throw refuse('there are two tracks');
  const { fileOutputs, ...others } = listed(request);
  const [file] = fileOutputs;
  if (!file || fileOutputs.length > 1 || Object.values(others).flat().length > 0) {
    throw refuse('the output has to be one file');
  }
  if (file.fileType !== EncodedFileType.DEFAULT_FILETYPE) throw refuse('file_type has to be empty');
  const storages = new StorageList();
  const { filepath, disableManifest, output } = file;
  const outputs = [directFile(new DirectFileOutput({ filepath, disableManifest, output }), storages)];
  const encoding = encodingOf({ case: undefined });
  return {
    ...idOf(context),
    roomName: request.roomName,
    source: { type: 'tracks', audioTrackId, videoTrackId: video?.trackId },
    choice: { program: 'auto' },
    video: video ? picture(encoding) : null,
    audio: audio ? encoding.audio : null,
    outputs,
    storages: storages.plans,
  };
}

/** Whether a source has a picture, and a sound. */
function legsOf(source: EgressSource): { video: boolean; audio: boolean } {
  if (source.type === 'media') return { video: source.video !== null, audio: source.audio !== null };
  if (source.type === 'room' || source.type === 'web') {
    return { video: !source.audioOnly, audio: !source.videoOnly };
  }
  return { video: true, audio: true };
}

/** @throws RequestError */
export function planStart(request: StartEgressRequest, context: PlanContext): EgressPlan {
  const source = sourceOf(request);
  if (source.type === 'web') {
    checkWebhooks(request.webhooks);
    if (request.roomName !== '') {
      throw invalid('room_name', 'a page is recorded in no room; leave it out, or use template');
    }
  } else checkCommon(request);
  const options: EncodingChoice = request.encoding;
  if (options.case === 'preset' && options.value === EncodingOptionsPreset.PASSTHROUGH) {
    return planPassthrough(request, source, context);
  }
  const { video, audio } = legsOf(source);
  return planEncoded({ ...listed(request), options }, context, {
    roomName: source.type === 'web' ? '' : request.roomName,
    source,
    choice: source.type === 'media' ? choiceOf(options) : { program: 'composite' },
    picture: video,
    sound: audio,
  });
}
