/** Bodies of Sluice's own JSON methods: plausible ones, to be damaged. */
import {
  EncodedFileOutput,
  ImageOutput,
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  SegmentedFileOutput,
  StartEgressRequest,
  StreamOutput,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import type { JsonValue, MessageType } from '@bufbuild/protobuf';
import { among } from './damage.ts';
import type { Next } from './fuzzer.ts';
import { makeMessage } from './messages.ts';
import type { Hints } from './messages.ts';

const REQUESTS: Readonly<Record<string, MessageType>> = {
  room_composite: RoomCompositeEgressRequest,
  web: WebEgressRequest,
  participant: ParticipantEgressRequest,
  track_composite: TrackCompositeEgressRequest,
  track: TrackEgressRequest,
  start: StartEgressRequest,
};
const OUTPUTS: Readonly<Record<string, MessageType>> = {
  file: EncodedFileOutput,
  segments: SegmentedFileOutput,
  stream: StreamOutput,
  images: ImageOutput,
};
const OPTIONS: readonly JsonValue[] = [
  { show_names: true, storyboard: { interval: 5, columns: 4 } },
  { hls: { segment_type: 'fmp4', low_latency: true, part_duration: 0.3 } },
  { limits: { file: { max_duration: 60, max_size: 1_000_000 }, stream: { max_duration: 10 } } },
  { streams: [{ url: 'rtmp://127.0.0.1/live/key', width: 640, height: 360, video_bitrate: 800 }] },
  { video_codec: 'vp9' },
];

export const OWN_METHODS = [
  'StartEgress',
  'PauseEgress',
  'ResumeEgress',
  'AddMarker',
  'AddOutput',
  'RemoveOutput',
  'UpdateTracks',
] as const;

/** @param ids of egresses and tracks, some of which exist */
export function ownBody(
  method: (typeof OWN_METHODS)[number],
  next: Next,
  hints: Hints,
  ids: { egresses: readonly string[]; tracks: readonly string[] },
): JsonValue {
  const oneOf = (types: Readonly<Record<string, MessageType>>): Record<string, JsonValue> => {
    const [name, type] = among(next, Object.entries(types));
    return { [name]: makeMessage(type, next, hints).toJson({ useProtoFieldName: true }) };
  };
  const egress_id = among(next, ids.egresses);
  switch (method) {
    case 'StartEgress':
      return { ...oneOf(REQUESTS), options: next() < 0.7 ? among(next, OPTIONS) : {} };
    case 'PauseEgress':
    case 'ResumeEgress':
      return { egress_id };
    case 'AddMarker':
      return { egress_id, label: 'a goal', ...(next() < 0.5 && { at_ms: Date.now() }) };
    case 'AddOutput':
      return { egress_id, ...oneOf(OUTPUTS) };
    case 'RemoveOutput':
      return { egress_id, output_id: among(next, ['output-1', 'none']) };
    case 'UpdateTracks':
      return { egress_id, add_track_ids: [among(next, ids.tracks)], remove_track_ids: [] };
  }
}
