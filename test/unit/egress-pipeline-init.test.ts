/** What a pipeline is told when it begins: who watches what it makes, and while it is made or later. */
import { RoomCompositeEgressRequest, TrackCompositeEgressRequest } from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { initFor } from '../../src/egress/pipeline-run.ts';
import { planEgress } from '../../src/egress/plan/plan.ts';
import { chooseProgram } from '../../src/egress/program.ts';
import { parseOptions } from '../../src/egress/request/options.ts';
import type { WantedTrack } from '../../src/egress/room/selection.ts';
import type { Init } from '../../pipelines/shared/protocol.ts';

type Outputs = Pick<
  NonNullable<ConstructorParameters<typeof RoomCompositeEgressRequest>[0]>,
  'fileOutputs' | 'segmentOutputs' | 'streamOutputs'
>;

const SEGMENTS: Outputs = { segmentOutputs: [{ filenamePrefix: 'a', playlistName: 'a' }] };
const STREAM: Outputs = { streamOutputs: [{ urls: ['rtmp://host.example/app/key'] }] };
const FILE: Outputs = { fileOutputs: [{ filepath: 'a' }] };

const TRACKS = [
  { kind: 'audio', mimeType: 'audio/opus' },
  { kind: 'video', mimeType: 'video/H264' },
].map((track) => ({ track })) as WantedTrack[];

function initOf(
  request: RoomCompositeEgressRequest | TrackCompositeEgressRequest,
  lowLatency: boolean,
): Init {
  const options = parseOptions(lowLatency ? { hls: { low_latency: true } } : {});
  const plan = planEgress(request, { egressId: 'EG_test', options });
  return initFor({
    ...{ plan, wanted: TRACKS, log: { dir: '/log', pattern: 'r0-%06d.ts', container: 'mpegts' }, epochMs: 0 },
    program: chooseProgram(plan, 'video/H264', 'audio/opus'),
    stage: { background: 'black' },
  });
}

describe.each([
  ['composite', (outputs: Outputs) => new RoomCompositeEgressRequest({ roomName: 'demo', ...outputs })],
  [
    'passthrough',
    (outputs: Outputs) =>
      new TrackCompositeEgressRequest({
        ...{ roomName: 'demo', audioTrackId: 'TR_audio', videoTrackId: 'TR_video' },
        ...outputs,
      }),
  ],
] as const)('the init of a %s', (program, request) => {
  it.each([
    ['a file', FILE, false, { tap: false, live: undefined }],
    ['a broadcast', SEGMENTS, false, { tap: false, live: undefined }],
    // Its sound is mixed a frame at a time: parts are watched as they come.
    ['a broadcast of low latency', SEGMENTS, true, { tap: false, live: true }],
    ['a stream', STREAM, false, { tap: true, live: undefined }],
    [
      'a stream beside a broadcast of low latency',
      { ...STREAM, ...SEGMENTS },
      true,
      { tap: true, live: true },
    ],
  ])('says who watches %s', (_, outputs, lowLatency, { tap, live }) => {
    const init = initOf(request(outputs), lowLatency);
    expect(init).toMatchObject({ program, tap });
    expect(init.live).toBe(live);
  });
});
