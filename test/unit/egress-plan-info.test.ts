import {
  DirectFileOutput,
  EgressInfo,
  EgressSourceType,
  EgressStatus,
  EncodedFileOutput,
  RoomCompositeEgressRequest,
  S3Upload,
  SegmentedFileOutput,
  StreamInfo,
  StreamInfo_Status,
  StreamOutput,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
} from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { abortedInfo, endingInfo, initialInfo, setDeprecatedResult } from '../../src/egress/info.ts';
import { planEgress } from '../../src/egress/plan/plan.ts';
import type { StartRequest } from '../../src/egress/request/types.ts';

const createdAtMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const ns = BigInt(createdAtMs) * 1_000_000n;

const info = (request: StartRequest) =>
  initialInfo(request, planEgress(request, { egressId: 'EG_1' }), { roomId: 'RM_1', createdAtMs });

const s3 = () =>
  new S3Upload({ bucket: 'bucket', accessKey: 'AKIDEXAMPLE', secret: 'sssecret', sessionToken: 'tttoken' });

describe('initialInfo', () => {
  it('is STARTING, with ids, times and the file that will be', () => {
    const got = info(
      new RoomCompositeEgressRequest({
        roomName: 'demo',
        fileOutputs: [new EncodedFileOutput({ filepath: 'r/{room_id}-{time}' })],
      }),
    );
    expect(got).toMatchObject({
      egressId: 'EG_1',
      roomId: 'RM_1',
      roomName: 'demo',
      status: EgressStatus.EGRESS_STARTING,
      sourceType: EgressSourceType.WEB,
      startedAt: ns,
      updatedAt: ns,
      endedAt: 0n,
      error: '',
    });
    expect(got.fileResults.map(({ filename }) => filename)).toEqual(['r/RM_1-2026-01-02T030405.mp4']);
    expect(got.result).toMatchObject({ case: 'file', value: { filename: 'r/RM_1-2026-01-02T030405.mp4' } });
  });

  it('shows results of each output, and no deprecated one when there are several', () => {
    const got = info(
      new RoomCompositeEgressRequest({
        roomName: 'demo',
        fileOutputs: [new EncodedFileOutput()],
        segmentOutputs: [new SegmentedFileOutput({ filenamePrefix: 'h/seg', livePlaylistName: 'live' })],
        streamOutputs: [new StreamOutput({ urls: ['rtmp://host/app/abcdefghijkl'] })],
      }),
    );
    expect(got.fileResults[0]?.filename).toBe('demo-2026-01-02T030405.mp4');
    expect(got.segmentResults[0]).toMatchObject({
      playlistName: 'h/seg.m3u8',
      livePlaylistName: 'h/live.m3u8',
    });
    expect(got.streamResults).toHaveLength(1);
    expect(got.streamResults[0]).toMatchObject({
      url: 'rtmp://host/app/{abc...jkl}',
      status: StreamInfo_Status.ACTIVE,
      startedAt: 0n,
    });
    expect(got.result.case).toBeUndefined();
  });

  it.each([
    ['segments', { segmentOutputs: [new SegmentedFileOutput({ playlistName: 'p' })] }, 'segments'],
    ['streams', { streamOutputs: [new StreamOutput({ urls: ['rtmp://a/b/c'] })] }, 'stream'],
  ])('%s alone are also the deprecated result', (_what, outputs, expected) => {
    const got = info(new RoomCompositeEgressRequest({ roomName: 'demo', ...outputs }));
    expect(got.result.case).toBe(expected);
  });

  it('a track is of source SDK, and its file is named when its codec is known', () => {
    const request = new TrackEgressRequest({
      roomName: 'demo',
      trackId: 'TR_1',
      output: { case: 'file', value: new DirectFileOutput({ filepath: 'x' }) },
    });
    expect(info(request)).toMatchObject({
      sourceType: EgressSourceType.SDK,
      fileResults: [{ filename: '' }],
      request: { case: 'track', value: { trackId: 'TR_1' } },
      result: { case: 'file' },
    });
  });

  it('sound alone counts as SDK unless a layout is asked for, as LiveKit has it', () => {
    const sound = { roomName: 'demo', audioOnly: true, fileOutputs: [new EncodedFileOutput()] };
    expect(info(new RoomCompositeEgressRequest(sound)).sourceType).toBe(EgressSourceType.SDK);
    expect(info(new RoomCompositeEgressRequest({ ...sound, layout: 'grid' })).sourceType).toBe(
      EgressSourceType.WEB,
    );
  });
});

describe('the echoed request', () => {
  const file = () => new EncodedFileOutput({ filepath: 'a', output: { case: 's3', value: s3() } });
  const stream = () => new StreamOutput({ urls: ['rtmps://user:pa55word@host/app/sekretkey123?auth=x'] });
  const segments = () =>
    new SegmentedFileOutput({ filenamePrefix: 's', output: { case: 's3', value: s3() } });

  it.each<[string, StartRequest]>([
    [
      'room composite',
      new RoomCompositeEgressRequest({
        roomName: 'demo',
        fileOutputs: [file()],
        segmentOutputs: [segments()],
        streamOutputs: [stream()],
      }),
    ],
    [
      'legacy file',
      new RoomCompositeEgressRequest({ roomName: 'demo', output: { case: 'file', value: file() } }),
    ],
    [
      'legacy stream',
      new RoomCompositeEgressRequest({ roomName: 'demo', output: { case: 'stream', value: stream() } }),
    ],
    [
      'both, as SDKs send it',
      new RoomCompositeEgressRequest({
        roomName: 'demo',
        fileOutputs: [file()],
        output: { case: 'file', value: file() },
      }),
    ],
    [
      'track composite',
      new TrackCompositeEgressRequest({
        roomName: 'demo',
        videoTrackId: 'TR_1',
        output: { case: 'segments', value: segments() },
      }),
    ],
    [
      'track',
      new TrackEgressRequest({
        roomName: 'demo',
        trackId: 'TR_1',
        output: { case: 'file', value: new DirectFileOutput({ output: { case: 's3', value: s3() } }) },
      }),
    ],
  ])('of a %s holds no secret', (_what, request) => {
    const before = request.toJsonString();
    const json = info(request).toJsonString();
    for (const secret of ['AKIDEXAMPLE', 'sssecret', 'tttoken', 'sekretkey123', 'pa55word']) {
      expect(json).not.toContain(secret);
    }
    if (before.includes('sssecret')) {
      expect(json).toContain('{access_key}');
      expect(json).toContain('{secret}');
      expect(json).toContain('{session_token}');
      expect(json).toContain('"bucket":"bucket"');
    }
    // The request itself goes to the worker as it came.
    expect(request.toJsonString()).toBe(before);
  });
});

describe('later states', () => {
  const started = () =>
    info(new RoomCompositeEgressRequest({ roomName: 'demo', fileOutputs: [new EncodedFileOutput()] }));

  it('stopped before it was taken', () => {
    const first = started();
    expect(abortedInfo(first, createdAtMs + 1000)).toMatchObject({
      status: EgressStatus.EGRESS_ABORTED,
      error: 'Stop called before pipeline could start',
      errorCode: 412,
      details: 'End reason: StopEgress API',
      endedAt: ns + 1_000_000_000n,
      updatedAt: ns + 1_000_000_000n,
    });
    expect(first.status).toBe(EgressStatus.EGRESS_STARTING);
  });

  it('asked to stop; asked again nothing changes', () => {
    const ending = endingInfo(started(), createdAtMs + 1000);
    expect(ending).toMatchObject({
      status: EgressStatus.EGRESS_ENDING,
      details: 'End reason: StopEgress API',
    });
    expect(endingInfo(ending, createdAtMs + 2000)).toEqual(ending);
  });

  it('keeps the deprecated result in step with the lists', () => {
    const streaming = info(
      new RoomCompositeEgressRequest({
        roomName: 'demo',
        streamOutputs: [new StreamOutput({ urls: ['rtmp://a/b/c'] })],
      }),
    );
    streaming.streamResults.push(new StreamInfo({ url: 'rtmp://d/e/{...}' }));
    setDeprecatedResult(streaming);
    expect(streaming.result).toMatchObject({
      case: 'stream',
      value: { info: [{}, { url: 'rtmp://d/e/{...}' }] },
    });
    const again = EgressInfo.fromJsonString(streaming.toJsonString());
    expect(again.equals(streaming)).toBe(true);
  });
});
