import {
  RoomCompositeEgressRequest,
  StreamOutput,
  StreamProtocol,
  TrackEgressRequest,
} from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { planEgress } from '../../src/egress/plan/plan.ts';
import { parseOptions } from '../../src/egress/request/options.ts';
import { showStreamUrl } from '../../src/egress/request/stream-url.ts';

const egressId = 'EG_test';
const [one, two, three] = ['rtmp://a/app/k1', 'srt://b:9000?streamid=k2', 'mux://k3'];

function room(urls: string[], more: ConstructorParameters<typeof RoomCompositeEgressRequest>[0] = {}) {
  return new RoomCompositeEgressRequest({
    roomName: 'demo',
    streamOutputs: [new StreamOutput({ urls })],
    options: { case: 'advanced', value: { width: 1280, height: 720, videoBitrate: 3000 } },
    ...more,
  });
}

const planned = (request: RoomCompositeEgressRequest, streams: unknown) =>
  planEgress(request, { egressId, options: parseOptions({ streams }) });

describe('streams at their own quality', () => {
  it('are renditions of one picture, each once', () => {
    const plan = planned(room([one, two, three]), [
      { url: two, width: 854, height: 480, video_bitrate: 1000 },
      { url: three, height: 360 },
    ]);
    expect(plan.video).toMatchObject({ width: 1280, height: 720, bitrate: 3000 });
    expect(plan.renditions).toEqual([
      { width: 854, height: 480, bitrate: 1000 },
      // Half the width, a quarter of the area: 3000 * 0.25^0.75.
      { width: 640, height: 360, bitrate: 1061 },
    ]);
    expect(plan.outputs).toMatchObject([{ urls: [one, two, three], qualities: { [two]: 0, [three]: 1 } }]);
    const shared = planned(room([one, two, three]), [
      { url: two, width: 640, height: 360, video_bitrate: 700 },
      { url: three, width: 640, height: 360, video_bitrate: 700 },
    ]);
    expect(shared.renditions).toHaveLength(1);
  });

  it('make the largest of them the main picture when nothing else takes it', () => {
    const plan = planned(room([one, two]), [
      { url: one, width: 1920, height: 1080, video_bitrate: 4500 },
      { url: two, height: 480 },
    ]);
    expect(plan.video).toMatchObject({ width: 1920, height: 1080, bitrate: 4500 });
    expect(plan.renditions).toEqual([{ width: 854, height: 480, bitrate: expect.any(Number) as number }]);
    expect(plan.outputs).toMatchObject([{ qualities: { [two]: 0 } }]);
  });

  it.each([
    ['another URL', [{ url: three, height: 480 }], /streams\.0\.url.*not among/],
    [
      'one URL twice',
      [
        { url: two, height: 480 },
        { url: two, height: 360 },
      ],
      /streams\.1\.url.*already/,
    ],
    ['a larger picture', [{ url: two, width: 1920, height: 1080 }], /1920x1080 is larger.*1280x720/],
    ['an odd side', [{ url: two, width: 853, height: 480 }], /streams\.0\.width.*even/],
    ['what there is not', [{ url: two, fps: 15 }], /streams\.0\.fps/],
  ])('refuse %s', (_what, streams, message) => {
    expect(() => planned(room([one, two]), streams)).toThrow(message);
  });

  it('refuse sound alone, and more than are encoded at once', () => {
    expect(() => planned(room([two], { audioOnly: true }), [{ url: two, height: 480 }])).toThrow(
      /no picture/,
    );
    const urls = Array.from({ length: 6 }, (_, i) => `rtmp://a/app/${i}`);
    const wishes = urls.map((url, i) => ({ url, video_bitrate: 500 + i }));
    expect(() => planned(room([one, ...urls]), wishes)).toThrow(/at most 5/);
  });
});

describe('destinations', () => {
  it('may be of several protocols when none is named', () => {
    expect(planned(room([one, two, three]), undefined).outputs).toEqual([
      { type: 'stream', protocol: 'rtmp', urls: [one, two, three] },
    ]);
    const srt = new StreamOutput({ protocol: StreamProtocol.SRT, urls: [two] });
    expect(planned(room([], { streamOutputs: [srt] }), undefined).outputs).toMatchObject([
      { protocol: 'srt' },
    ]);
  });

  it('are WebSockets for sound alone', () => {
    const socket = new StreamOutput({ protocol: StreamProtocol.WEBSOCKET, urls: ['wss://h/audio'] });
    const request = new RoomCompositeEgressRequest({
      ...{ roomName: 'demo', streamOutputs: [socket], audioOnly: true },
    });
    expect(planned(request, undefined).outputs).toMatchObject([
      { protocol: 'websocket', urls: ['wss://h/audio'] },
    ]);
    expect(() => planned(room([], { streamOutputs: [socket] }), undefined)).toThrow(/sound alone/);
    const track = new TrackEgressRequest({
      ...{ roomName: 'demo', trackId: 'TR_a', output: { case: 'websocketUrl', value: 'ws://h/a' } },
    });
    const plan = planEgress(track, { egressId, trackKind: 'audio' });
    expect(plan).toMatchObject({ video: null, outputs: [{ protocol: 'websocket', urls: ['ws://h/a'] }] });
    expect(() => planEgress(track, { egressId, trackKind: 'video' })).toThrow(/video track/);
  });

  it('are shown without their secrets', () => {
    expect(showStreamUrl('mux://abcdefghi')).toBe('mux://{abc...ghi}');
    expect(showStreamUrl('twitch://abc/def')).toBe('twitch://{...}');
    expect(showStreamUrl('srt://h:1?passphrase=0123456789')).toBe('srt://h:1/{...}');
  });
});
