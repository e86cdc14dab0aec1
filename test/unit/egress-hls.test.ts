/** What requests and the configuration say of HLS, together. */
import { RoomCompositeEgressRequest, S3Upload, SegmentedFileOutput } from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { addedHls, completeHls } from '../../src/api/egress-hls.ts';
import type { HlsDefaults } from '../../src/api/egress-hls.ts';
import { planEgress } from '../../src/egress/plan/plan.ts';
import type { HlsChoice } from '../../src/egress/plan/hls.ts';
import { parseOptions } from '../../src/egress/request/options.ts';

const bucket = new S3Upload({ bucket: 'recordings', accessKey: 'a', secret: 's', region: 'r' });

function output(asked: unknown, defaults: HlsChoice = {}, where: 's3' | 'local' | 'configured-s3' = 'local') {
  const options = parseOptions(asked);
  const request = new RoomCompositeEgressRequest({
    roomName: 'room',
    segmentOutputs: [
      new SegmentedFileOutput({
        playlistName: 'x',
        ...(where === 's3' && { output: { case: 's3', value: bucket } }),
      }),
    ],
  });
  const context = { egressId: 'EG_1', options };
  const settings: HlsDefaults = { choice: defaults, servesFiles: where !== 'configured-s3' };
  const complete = completeHls(options, planEgress(request, context), settings);
  const [found] = planEgress(request, { ...context, options: complete }).outputs;
  if (found?.type !== 'segments') throw new Error('no segments');
  const { segmentType, lowLatency, partDuration } = found;
  return [segmentType, lowLatency, partDuration];
}

describe('HLS', () => {
  it('is MPEG-TS unless asked for otherwise', () => {
    expect(output({})).toEqual(['mpegts', false, 0]);
    expect(output({ hls: { segment_type: 'fmp4' } })).toEqual(['fmp4', false, 0]);
    expect(output({ hls: { low_latency: true } })).toEqual(['fmp4', true, 0.4]);
    expect(output({ hls: { low_latency: true, part_duration: 0.25 } })).toEqual(['fmp4', true, 0.25]);
  });

  it('is what the configuration says where the request says nothing', () => {
    const low: HlsChoice = { segment_type: 'mpegts', low_latency: true, part_duration: 0.3 };
    expect(output({}, { segment_type: 'fmp4' })).toEqual(['fmp4', false, 0]);
    expect(output({}, low)).toEqual(['fmp4', true, 0.3]);
    expect(output({ hls: { low_latency: false } }, low)).toEqual(['mpegts', false, 0]);
    expect(output({ hls: { segment_type: 'mpegts' } }, low)).toEqual(['mpegts', false, 0]);
    // A bucket has no playlists that can be waited for.
    expect(output({}, low, 's3')).toEqual(['mpegts', false, 0]);
    expect(output({}, low, 'configured-s3')).toEqual(['mpegts', false, 0]);
  });

  it.each([
    [{ hls: { low_latency: true, segment_type: 'mpegts' } }, 'local', /options\.hls\.segment_type/],
    [{ hls: { part_duration: 0.3 } }, 'local', /options\.hls\.part_duration: only low latency has parts/],
    [{ hls: { low_latency: true, part_duration: 3 } }, 'local', /options\.hls\.part_duration/],
    [{ hls: { low_latency: true } }, 's3', /options\.hls\.low_latency: .*use the local storage/],
    [{ hls: { low_latency: true } }, 'configured-s3', /options\.hls\.low_latency/],
    [{ hls: { latency: 1 } }, 'local', /options\.hls\.latency/],
  ] as const)('refuses %j in %s', (asked, where, why) => {
    expect(() => output(asked, {}, where)).toThrow(why);
  });
});

describe('HLS of a broadcast that is added', () => {
  const LOW: HlsChoice = { low_latency: true, part_duration: 0.3 };
  function added(
    asked: HlsChoice,
    own?: HlsChoice,
    { choice = {}, where = 'local' }: { choice?: HlsChoice; where?: 's3' | 'local' } = {},
  ) {
    const request = new RoomCompositeEgressRequest({
      roomName: 'room',
      segmentOutputs: [
        { playlistName: 'x', ...(where === 's3' && { output: { case: 's3' as const, value: bucket } }) },
      ],
    });
    const plan = planEgress(request, { egressId: 'EG_1', options: {} });
    const { segmentType, lowLatency, partDuration } = addedHls(asked, plan, own, {
      ...{ choice, servesFiles: true },
    });
    return [segmentType, lowLatency, partDuration];
  }

  it('is what it says itself, else what the egress does, else what the configuration says', () => {
    expect(added({})).toEqual(['mpegts', false, 0]);
    expect(added({ low_latency: true })).toEqual(['fmp4', true, 0.4]);
    expect(added({ low_latency: true, part_duration: 0.25 }, LOW)).toEqual(['fmp4', true, 0.25]);
    expect(added({}, LOW, { choice: { segment_type: 'mpegts' } })).toEqual(['fmp4', true, 0.3]);
    expect(added({}, { low_latency: false }, { choice: LOW })).toEqual(['mpegts', false, 0]);
    expect(added({}, undefined, { choice: { ...LOW, segment_type: 'mpegts' } })).toEqual(['fmp4', true, 0.3]);
    expect(added({ segment_type: 'mpegts' }, LOW)).toEqual(['mpegts', false, 0]);
    expect(added({ low_latency: false }, LOW)).toEqual(['fmp4', false, 0]);
  });

  it('has no low latency in a bucket', () => {
    expect(added({}, LOW, { where: 's3' })).toEqual(['fmp4', false, 0]);
    expect(() => added({ low_latency: true }, LOW, { where: 's3' })).toThrow(
      /: hls\.low_latency: .*use the local storage/,
    );
  });
});
