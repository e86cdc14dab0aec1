/** StartEgress request -> plan. Pure: everything that can be wrong with a request is found here, up front. */
import { AudioMixing, RoomCompositeEgressRequest, TrackCompositeEgressRequest } from '@livekit/protocol';
import type { TrackEgressRequest, WebhookConfig } from '@livekit/protocol';
import type { EgressRecord } from '../store/types.ts';
import type { EgressOutput, EgressPlan } from './plan-types.ts';
import { DEFAULT_KEY_FRAME_INTERVAL } from './presets.ts';
import { encodingOf } from './request/encoding.ts';
import type { Encoding, EncodingChoice } from './request/encoding.ts';
import { isKnownValue } from './request/enums.ts';
import { invalid, unimplemented } from './request/errors.ts';
import { directFile, encodedOutputs } from './request/outputs.ts';
import { StorageList } from './request/storage.ts';
import { loadRequest } from './request/types.ts';
import type { StartRequest } from './request/types.ts';

export interface PlanContext {
  egressId: string;
  /** Kind of the track a TrackEgressRequest names; taken for video when not known. */
  trackKind?: 'audio' | 'video' | undefined;
}

/**
 * Keyframes such that segments can be cut at their own length: the interval asked for (default 2 s), made
 * shorter until it fits the segment duration a whole number of times.
 */
function keyFrameInterval(requested: number | undefined, outputs: readonly EgressOutput[]): number {
  const wanted = requested ?? DEFAULT_KEY_FRAME_INTERVAL;
  const segments = outputs.find((output) => output.type === 'segments');
  if (!segments) return wanted;
  return segments.segmentDuration / Math.ceil(segments.segmentDuration / wanted);
}

function picture(encoding: Encoding, outputs: readonly EgressOutput[]): EgressPlan['video'] {
  const interval = keyFrameInterval(encoding.requestedKeyFrameInterval, outputs);
  return { ...encoding.video, keyFrameInterval: interval };
}

function checkCommon(request: { roomName: string; webhooks: readonly WebhookConfig[] }): void {
  if (request.roomName === '') throw invalid('room_name', 'name the room');
  if (request.webhooks.length > 0) {
    throw unimplemented('webhooks', 'webhooks of a request', "use the server's webhook.urls");
  }
}

function planRoomComposite(request: RoomCompositeEgressRequest, { egressId }: PlanContext): EgressPlan {
  checkCommon(request);
  const { layout, audioOnly, videoOnly } = request;
  if (layout !== '' && layout !== 'grid') {
    throw unimplemented('layout', `layout "${layout.slice(0, 64)}"`, 'use "grid"');
  }
  if (request.customBaseUrl !== '') {
    throw unimplemented(
      'custom_base_url',
      'custom_base_url (templates drawn by a browser)',
      'use layout "grid"',
    );
  }
  if (request.audioMixing !== AudioMixing.DEFAULT_MIXING) {
    if (!isKnownValue(AudioMixing, request.audioMixing)) {
      throw invalid('audio_mixing', `${request.audioMixing} is not a mixing; use DEFAULT_MIXING`);
    }
    throw unimplemented(
      'audio_mixing',
      `audio_mixing ${AudioMixing[request.audioMixing]}`,
      'use DEFAULT_MIXING',
    );
  }
  if (audioOnly && videoOnly) throw invalid('audio_only and video_only', 'at most one of them can be true');
  const storages = new StorageList();
  const encoding = encodingOf(request.options);
  const outputs = encodedOutputs(request, storages);
  return {
    egressId,
    roomName: request.roomName,
    source: { type: 'room', layout: 'grid', audioOnly, videoOnly },
    choice: { program: 'composite' },
    video: audioOnly ? null : picture(encoding, outputs),
    audio: videoOnly ? null : encoding.audio,
    outputs,
    storages: storages.plans,
  };
}

/** Encoding options mean that the request wants encoding; without them what can be copied is. */
function choiceOf(options: EncodingChoice): EgressPlan['choice'] {
  return { program: options.case === undefined ? 'auto' : 'composite' };
}

function planTrackComposite(request: TrackCompositeEgressRequest, { egressId }: PlanContext): EgressPlan {
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
    egressId,
    roomName: request.roomName,
    source: { type: 'tracks', audioTrackId, videoTrackId },
    choice: choiceOf(request.options),
    video: videoTrackId === undefined ? null : picture(encoding, outputs),
    audio: audioTrackId === undefined ? null : encoding.audio,
    outputs,
    storages: storages.plans,
  };
}

function planTrack(request: TrackEgressRequest, { egressId, trackKind = 'video' }: PlanContext): EgressPlan {
  checkCommon(request);
  const { trackId, output } = request;
  if (trackId === '') throw invalid('track_id', 'name the track');
  if (output.case === 'websocketUrl') {
    throw unimplemented('websocket_url', 'websocket_url (raw audio over a WebSocket)', 'use a file output');
  }
  if (output.case === undefined) throw invalid('output', 'name a file output');
  const storages = new StorageList();
  const encoding = encodingOf({ case: undefined });
  const outputs = [directFile(output.value, storages)];
  const audio = trackKind === 'audio';
  return {
    egressId,
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

/** @throws RequestError that says what is wrong with the request and what would be right. */
export function planEgress(request: StartRequest, context: PlanContext): EgressPlan {
  if (request instanceof RoomCompositeEgressRequest) return planRoomComposite(request, context);
  if (request instanceof TrackCompositeEgressRequest) return planTrackComposite(request, context);
  return planTrack(request, context);
}

/**
 * The plan of a stored egress: what a worker runs.
 * @throws RequestError or RangeError when another version stored what this one cannot run.
 */
export function planOfRecord(
  record: Pick<EgressRecord, 'egressId' | 'requestType' | 'requestJson' | 'trackKind'>,
): EgressPlan {
  return planEgress(loadRequest(record), { egressId: record.egressId, trackKind: record.trackKind });
}
