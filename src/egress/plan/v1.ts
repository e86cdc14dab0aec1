/** LiveKit's v1 requests -> plans, one function a request. Pure. @throws RequestError, all of them. */
import type {
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import { checkCommon, checkEither, checkPageUrl, choiceOf, mixingOf, picture, roomSource } from './parts.ts';
import type { PlanContext } from './parts.ts';
import type { EgressPlan } from './types.ts';
import { encodingOf } from '../request/encoding.ts';
import { invalid } from '../request/errors.ts';
import { directFile, encodedOutputs, webSocketOutput } from '../request/outputs.ts';
import { StorageList } from '../request/storage.ts';
import { checkWebhooks } from '../request/webhooks.ts';

/** What a request without options of Sluice's own is planned with. */
const idOf = ({ egressId, options = {} }: PlanContext) => ({ egressId, options });

export function planRoomComposite(request: RoomCompositeEgressRequest, context: PlanContext): EgressPlan {
  checkCommon(request);
  const source = roomSource(request, mixingOf(request.audioMixing));
  const storages = new StorageList();
  const encoding = encodingOf(request.options);
  const outputs = encodedOutputs(request, storages);
  return {
    ...idOf(context),
    roomName: request.roomName,
    source,
    choice: { program: 'composite' },
    video: request.audioOnly ? null : picture(encoding, outputs),
    audio: request.videoOnly ? null : encoding.audio,
    outputs,
    storages: storages.plans,
  };
}

export function planWeb(request: WebEgressRequest, context: PlanContext): EgressPlan {
  checkWebhooks(request.webhooks);
  checkPageUrl('url', request.url);
  checkEither(request);
  const { url, audioOnly, videoOnly, awaitStartSignal } = request;
  const storages = new StorageList();
  const encoding = encodingOf(request.options);
  const outputs = encodedOutputs(request, storages);
  return {
    ...idOf(context),
    roomName: '',
    source: { type: 'web', url, audioOnly, videoOnly, awaitStartSignal },
    choice: { program: 'composite' },
    video: audioOnly ? null : picture(encoding, outputs),
    audio: videoOnly ? null : encoding.audio,
    outputs,
    storages: storages.plans,
  };
}

export function planParticipant(request: ParticipantEgressRequest, context: PlanContext): EgressPlan {
  checkCommon(request);
  const { identity, screenShare } = request;
  if (identity === '') throw invalid('identity', 'name the participant');
  const storages = new StorageList();
  const encoding = encodingOf(request.options);
  const outputs = encodedOutputs(request, storages);
  return {
    ...idOf(context),
    roomName: request.roomName,
    source: { type: 'participant', identity, screenShare },
    choice: choiceOf(request.options),
    video: picture(encoding, outputs),
    audio: encoding.audio,
    outputs,
    storages: storages.plans,
  };
}

export function planTrackComposite(request: TrackCompositeEgressRequest, context: PlanContext): EgressPlan {
  checkCommon(request);
  const audioTrackId = request.audioTrackId || undefined;
  const videoTrackId = request.videoTrackId || undefined;
  if (audioTrackId === undefined && videoTrackId === undefined) {
    throw invalid('audio_track_id or video_track_id', 'name at least one track');
  }
  const storages = new StorageList();
  const encoding = encodingOf(request.options);
  const outputs = encodedOutputs(request, storages);
  return {
    ...idOf(context),
    roomName: request.roomName,
    source: { type: 'tracks', audioTrackId, videoTrackId },
    choice: choiceOf(request.options),
    video: videoTrackId === undefined ? null : picture(encoding, outputs),
    audio: audioTrackId === undefined ? null : encoding.audio,
    outputs,
    storages: storages.plans,
  };
}

export function planTrack(request: TrackEgressRequest, context: PlanContext): EgressPlan {
  checkCommon(request);
  const { trackId, output } = request;
  if (trackId === '') throw invalid('track_id', 'name the track');
  if (output.case === undefined) throw invalid('output', 'name a file output or a websocket_url');
  const storages = new StorageList();
  const encoding = encodingOf({ case: undefined });
  const webSocket = output.case === 'websocketUrl';
  const outputs = webSocket ? [webSocketOutput(output.value)] : [directFile(output.value, storages)];
  if (webSocket && context.trackKind === 'video') {
    throw invalid('websocket_url', `it takes sound, and ${trackId} is a video track: use a file output`);
  }
  const audio = webSocket || context.trackKind === 'audio';
  return {
    ...idOf(context),
    roomName: request.roomName,
    source: {
      type: 'tracks',
      audioTrackId: audio ? trackId : undefined,
      videoTrackId: audio ? undefined : trackId,
    },
    choice: { program: 'auto' },
    video: audio ? null : picture(encoding, outputs),
    audio: audio ? encoding.audio : null,
    outputs,
    storages: storages.plans,
  };
}
