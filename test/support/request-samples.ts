/** Requests of Egress, complete and minimal, and what their fields may be set to. */
import {
  EncodedFileOutput,
  ListEgressRequest,
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  RoomEgress,
  SegmentedFileOutput,
  StartEgressRequest,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  UpdateLayoutRequest,
  UpdateStreamRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import type { Message } from '@bufbuild/protobuf';
import type { Samples } from './message-fields.ts';

const file = { filepath: 'name-of-test' };
const url = 'https://host.example/page';
const roomName = 'demo';
const direct = { case: 'file' as const, value: file };
const output = { config: direct };
/** The deprecated single file is for where no list names one. */
const noFiles = () => ({ fileOutputs: [], segmentOutputs: [new SegmentedFileOutput()] });

export const SAMPLES: Samples = {
  messages: {
    S3Upload: { bucket: 'recordings' },
    ProxyConfig: { url: 'http://proxy.example:3128', username: 'user' },
    StreamOutput: { urls: ['rtmp://host.example/app/key'] },
    WebhookConfig: { url },
    FilterParams: { includeEvents: ['egress_started'] },
    WebSource: { url },
    MediaSource: { video: { case: 'videoTrackId', value: 'TR_video' } },
    ParticipantVideo: { identity: 'gina' },
    AudioConfig: { routes: [{ match: { case: 'participantIdentity', value: 'gina' } }] },
    AudioRoute: { match: { case: 'participantIdentity', value: 'henry' } },
    Output: { config: { case: 'images', value: {} } },
    StorageConfig: { provider: { case: 's3', value: { bucket: 'recordings' } } },
    DirectFileOutput: file,
    EncodedFileOutput: file,
    FileOutput: file,
  },
  values: {
    'RoomCompositeEgressRequest.layout': 'speaker',
    'RoomCompositeEgressRequest.custom_base_url': url,
    'TemplateSource.layout': 'speaker',
    'TemplateSource.custom_base_url': url,
    'WebEgressRequest.url': 'https://other.example/',
    'WebSource.url': 'https://other.example/',
    'TrackEgressRequest.websocket_url': 'wss://host.example/sound',
    'StreamOutput.urls': 'rtmp://other.example/app/key',
    'UpdateLayoutRequest.layout': 'speaker',
    'UpdateStreamRequest.add_output_urls': 'rtmp://third.example/app/key',
    'UpdateStreamRequest.remove_output_urls': 'rtmp://host.example/app/key',
    'UpdateStreamRequest.egress_id': 'EG_other',
    'UpdateLayoutRequest.egress_id': 'EG_other',
    'ListEgressRequest.egress_id': 'EG_other',
    'TokenPagination.token': Buffer.from('EG_12').toString('base64url'),
    'EncodingOptions.width': 640,
    'EncodingOptions.height': 360,
    'EncodingOptions.depth': 16,
    'EncodingOptions.framerate': 15,
    'EncodingOptions.audio_bitrate': 96,
    'EncodingOptions.audio_frequency': 24_000,
    'EncodingOptions.audio_quality': 5,
    'EncodingOptions.video_bitrate': 1234,
    'EncodingOptions.video_quality': 5,
    'EncodingOptions.key_frame_interval': 1,
    'SegmentedFileOutput.segment_duration': 6,
    'ImageOutput.capture_interval': 3,
    'ImageOutput.width': 320,
    'ImageOutput.height': 180,
    'S3Upload.assume_role_arn': 'arn:aws:iam::123456789012:role/recorder',
    'S3Upload.assume_role_external_id': 'external',
    'S3Upload.endpoint': 'https://s3.example',
    'S3Upload.bucket': 'other',
    'S3Upload.region': 'eu-central-1',
    'S3Upload.tagging': 'team=video',
    'ProxyConfig.url': 'http://other.example:3128',
    'WebhookConfig.url': 'https://other.example/',
    'FilterParams.include_events': 'egress_ended',
    'FilterParams.exclude_events': 'egress_updated',
  },
  // Only where there is a room to be in.
  together: {
    'StartEgressRequest.template': { roomName },
    'StartEgressRequest.media': { roomName },
    'StartEgressRequest.web': { roomName: '' },
  },
  beside: {
    'RoomCompositeEgressRequest.file': noFiles(),
    'WebEgressRequest.file': noFiles(),
    'TrackCompositeEgressRequest.file': noFiles(),
    'S3Upload.access_key': { accessKey: 'before', secret: 'secret' },
    'S3Upload.secret': { accessKey: 'key', secret: 'before' },
    'S3Upload.session_token': { accessKey: 'key', secret: 'secret' },
    'S3Upload.assume_role_external_id': { assumeRoleArn: 'arn:aws:iam::123456789012:role/recorder' },
  },
};

const fileOutputs = [new EncodedFileOutput(file)];
const start = (source: StartEgressRequest['source'], more: object = {}) =>
  new StartEgressRequest({ roomName, source, outputs: [output], ...more });

/** Valid requests to start an egress; where a request has several kinds, one of each. */
export const STARTS: readonly (readonly [string, Message])[] = [
  ['RoomComposite', new RoomCompositeEgressRequest({ roomName, fileOutputs })],
  ['RoomComposite, sound alone', new RoomCompositeEgressRequest({ roomName, fileOutputs, audioOnly: true })],
  [
    'RoomComposite, picture alone',
    new RoomCompositeEgressRequest({ roomName, fileOutputs, videoOnly: true }),
  ],
  [
    'TrackComposite, sound alone',
    new TrackCompositeEgressRequest({ roomName, audioTrackId: 'TR_audio', fileOutputs }),
  ],
  ['Web', new WebEgressRequest({ url, fileOutputs })],
  ['Participant', new ParticipantEgressRequest({ roomName, identity: 'gina', fileOutputs })],
  [
    'TrackComposite',
    new TrackCompositeEgressRequest({
      ...{ roomName, audioTrackId: 'TR_audio', videoTrackId: 'TR_video', fileOutputs },
    }),
  ],
  ['Track', new TrackEgressRequest({ roomName, trackId: 'TR_video', output: direct })],
  ['v2 template', start({ case: 'template', value: {} as never })],
  ['v2 web', start({ case: 'web', value: { url } as never }, { roomName: '' })],
  [
    'v2 media, picture alone',
    start({ case: 'media', value: { video: { case: 'videoTrackId', value: 'TR_video' } } as never }),
  ],
];

export const ROOM_EGRESS = new RoomEgress({
  room: { fileOutputs },
  participant: { fileOutputs },
  tracks: file,
});

/** What the egress runs that is changed. */
export const STREAMING = new RoomCompositeEgressRequest({
  ...{ roomName, fileOutputs },
  streamOutputs: [{ urls: ['rtmp://host.example/app/key'] }],
});

/** Requests about the egress EG_test, that runs. */
export const CHANGES: readonly (readonly [string, Message])[] = [
  ['UpdateLayout', new UpdateLayoutRequest({ egressId: 'EG_test', layout: 'grid' })],
  [
    'UpdateStream',
    new UpdateStreamRequest({ egressId: 'EG_test', addOutputUrls: ['rtmp://other.example/app/key'] }),
  ],
  ['ListEgress', new ListEgressRequest()],
];
