/** LiveKit's v1 requests -> plans, one function a request. Pure. @throws RequestError, all of them. */
import type {
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import { idOf, planEncoded } from './encoded.ts';
import { checkCommon, checkEither, checkPageUrl, choiceOf, mixingOf, picture, roomSource } from './parts.ts';
import type { PlanContext } from './parts.ts';
import type { EgressPlan } from './types.ts';
import { encodingOf } from '../request/encoding.ts';
import { invalid } from '../request/errors.ts';
import { directFile, webSocketOutput } from '../request/outputs.ts';
import { StorageList } from '../request/storage.ts';
import { checkWebhooks } from '../request/webhooks.ts';

export function planRoomComposite(request: RoomCompositeEgressRequest, context: PlanContext): EgressPlan {
  checkCommon(request);
  return planEncoded(request, context, {
    roomName: request.roomName,
    source: roomSource(request, mixingOf(request.audioMixing)),
    choice: { program: 'composite' },
    picture: !request.audioOnly,
    sound: !request.videoOnly,
  });
}

export function planWeb(request: WebEgressRequest, context: PlanContext): EgressPlan {
  checkWebhooks(request.webhooks);
  checkPageUrl('url', request.url);
  checkEither(request);
  const { url, audioOnly, videoOnly, awaitStartSignal } = request;
  return planEncoded(request, context, {
    roomName: '',
    source: { type: 'web', url, audioOnly, videoOnly, awaitStartSignal },
    choice: { program: 'composite' },
    picture: !audioOnly,
    sound: !videoOnly,
  });
}

export function planParticipant(request: ParticipantEgressRequest, context: PlanContext): EgressPlan {
  checkCommon(request);
  const { roomName, identity, screenShare } = request;
  if (identity === '') throw invalid('identity', 'name the participant');
  return planEncoded(request, context, {
    roomName,
    source: { type: 'participant', identity, screenShare },
    choice: choiceOf(request.options),
    picture: true,
    sound: true,
  });
}

export function planTrackComposite(request: TrackCompositeEgressRequest, context: PlanContext): EgressPlan {
  checkCommon(request);
  const audioTrackId = request.audioTrackId || undefined;
  const videoTrackId = request.videoTrackId || undefined;
  if (audioTrackId === undefined && videoTrackId === undefined) {
    throw invalid('audio_track_id or video_track_id', 'name at least one track');
  }
  return planEncoded(request, context, {
    roomName: request.roomName,
    source: { type: 'tracks', audioTrackId, videoTrackId },
    choice: choiceOf(request.options),
    picture: videoTrackId !== undefined,
    sound: audioTrackId !== undefined,
  });
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
    video: audio ? null : picture(encoding),
    audio: audio ? encoding.audio : null,
    outputs,
    storages: storages.plans,
  };
}
