/** How tracks are connected: in which order, and what follows when the pipeline gives one up. */
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { BridgeClient } from '../../src/bridge/client.ts';
import type { BridgeEvent } from '../../src/bridge/protocol.ts';
import { Feeds } from '../../src/egress/room/feeds.ts';
import type { WantedTrack } from '../../src/egress/room/selection.ts';
import type { PipelineHost } from '../../src/pipeline/host.ts';

const TRACK: WantedTrack = {
  participantId: 'PA_1',
  identity: 'alice',
  track: {
    trackId: 'TR_1',
    producerId: 'one',
    kind: 'video',
    source: 'camera',
    name: '',
    mimeType: 'video/H264',
    muted: false,
    spatialLayers: 1,
  },
};

/** A bridge and a pipeline that write down what they are asked, in one list. */
function setUp(options: { srtp?: boolean } = {}) {
  const calls: string[] = [];
  let emit: (event: BridgeEvent) => void = () => undefined;
  const bridge = {
    onEvent: (listener: (event: BridgeEvent) => void) => {
      emit = listener;
      return () => undefined;
    },
    request: async (method: string, params: { srtp?: { keyBase64: string } }) => {
      calls.push(`bridge ${method}`);
      if (method !== 'subscribe') return {};
      return {
        subscriptionId: `S${calls.length}`,
        trackId: 'TR_1',
        kind: 'video',
        codec: {
          mimeType: 'video/H264',
          payloadType: 106,
          clockRate: 90_000,
          parameters: {},
          rtcpFeedback: [],
        },
        ssrc: 1,
        cname: 'c',
        type: 'simple',
        spatialLayers: 1,
        remote: { ip: '127.0.0.1', port: 5 },
        producerPaused: false,
        ...(params.srtp && { srtp: { ...params.srtp, keyBase64: 'theirs' } }),
      };
    },
  } as unknown as BridgeClient;
  const host = {
    send: async (command: { cmd: string; srtp?: { remote: { keyBase64: string } } }) => {
      calls.push(
        `pipeline ${command.cmd}${command.srtp ? ` with the key ${command.srtp.remote.keyBase64}` : ''}`,
      );
      return command.cmd === 'bind' ? { port: 4000 } : {};
    },
  } as unknown as PipelineHost;
  const feeds = new Feeds({
    bridge,
    host,
    address: '127.0.0.1',
    srtp: options.srtp ?? false,
    copyVideo: true,
    logger: pino({ level: 'silent' }),
    onChange: () => undefined,
  });
  return { calls, feeds, emit: (event: BridgeEvent) => emit(event) };
}

const CONNECT = [
  'pipeline bind',
  'bridge subscribe',
  'pipeline connect',
  'bridge resume',
  'bridge requestKeyFrame',
  'bridge keyFrameCadence',
];

describe('Feeds', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('lets the first packet come when everything is ready for it', async () => {
    const { calls, feeds } = setUp();
    feeds.sync([TRACK]);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toEqual(CONNECT);
    expect(feeds.current()).toHaveLength(1);
  });

  it('changes keys where RTP crosses a network', async () => {
    const { calls, feeds } = setUp({ srtp: true });
    feeds.sync([TRACK]);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toContain('pipeline connect with the key theirs');
  });

  it('connects a track anew that the pipeline has given up', async () => {
    const { calls, feeds } = setUp();
    feeds.sync([TRACK]);
    await vi.advanceTimersByTimeAsync(1);
    calls.length = 0;
    feeds.failed('TR_1', 'decode error');
    await vi.advanceTimersByTimeAsync(400);
    expect(calls).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(calls).toEqual(['pipeline disconnect', 'bridge unsubscribe', ...CONNECT]);
    await feeds.close();
  });

  it('connects a republished track anew, and lets go of one that is not wanted', async () => {
    const { calls, feeds } = setUp();
    feeds.sync([TRACK]);
    await vi.advanceTimersByTimeAsync(1);
    calls.length = 0;
    feeds.sync([{ ...TRACK, track: { ...TRACK.track, producerId: 'two' } }]);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toEqual(['pipeline disconnect', 'bridge unsubscribe', ...CONNECT]);
    calls.length = 0;
    feeds.sync([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toEqual(['pipeline disconnect', 'bridge unsubscribe']);
    expect(feeds.current()).toEqual([]);
  });

  it('asks for a keyframe when a picture is unmuted', async () => {
    const { calls, feeds, emit } = setUp();
    feeds.sync([TRACK]);
    await vi.advanceTimersByTimeAsync(1);
    calls.length = 0;
    emit({ event: 'trackMuted', trackId: 'TR_1', muted: true });
    emit({ event: 'trackMuted', trackId: 'TR_1', muted: false });
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toEqual(['pipeline setMuted', 'pipeline setMuted', 'bridge requestKeyFrame']);
  });

  it('holds a track without letting go of it, whatever its publisher mutes meanwhile', async () => {
    const { calls, feeds, emit } = setUp();
    feeds.sync([TRACK]);
    await vi.advanceTimersByTimeAsync(1);
    calls.length = 0;
    feeds.hold('TR_1', true);
    feeds.hold('TR_1', true);
    emit({ event: 'trackMuted', trackId: 'TR_1', muted: true });
    emit({ event: 'trackMuted', trackId: 'TR_1', muted: false });
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toEqual(['pipeline setMuted', 'bridge pause']);
    calls.length = 0;
    feeds.hold('TR_1', false);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toEqual(['bridge resume', 'pipeline setMuted', 'bridge requestKeyFrame']);
    expect(feeds.current()).toHaveLength(1);
  });
});
