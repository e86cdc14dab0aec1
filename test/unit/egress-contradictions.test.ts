/** Two fields of a request that cannot both count: one is refused, by its name. */
import { RoomCompositeEgressRequest, StartEgressRequest } from '@livekit/protocol';
import type { JsonValue } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { planEgress } from '../../src/egress/plan/plan.ts';

const start = (more: Record<string, JsonValue>) =>
  StartEgressRequest.fromJson({ roomName: 'demo', outputs: [{ file: {} }], ...more });
const plan = (request: Parameters<typeof planEgress>[0]) => planEgress(request, { egressId: 'EG_test' });

describe('what would be ignored', () => {
  const s3 = (bucket: string) => ({ s3: { bucket } });
  const stream = { stream: { urls: ['rtmp://host.example/app/key'] } };
  const template = { template: {} };
  it.each([
    ['outputs.storage', start({ ...template, outputs: [{ ...stream, storage: s3('mine') }] })],
    ['storage', start({ ...template, outputs: [stream], storage: s3('mine') })],
    ['outputs.storage', start({ ...template, outputs: [{ segments: s3('mine'), storage: s3('yours') }] })],
    ['room_name', start({ web: { url: 'https://host.example/' } })],
    [
      'audio_mixing',
      RoomCompositeEgressRequest.fromJson({
        ...{ roomName: 'demo', customBaseUrl: 'https://host.example/', audioMixing: 'DUAL_CHANNEL_AGENT' },
        fileOutputs: [{}],
      }),
    ],
    [
      'output',
      RoomCompositeEgressRequest.fromJson({
        ...{ roomName: 'demo', file: { filepath: 'one' }, fileOutputs: [{ filepath: 'other' }] },
      }),
    ],
  ])('is refused by its name: %s', (field, request) => {
    expect(() => plan(request)).toThrow(expect.objectContaining({ code: 'invalid_argument', field }));
  });

  it('is taken twice where it is the same', () => {
    const same = { segments: s3('mine'), storage: s3('mine') };
    expect(plan(start({ ...template, outputs: [same] })).storages).toMatchObject([{ type: 's3' }]);
    const both = { file: { filepath: 'a' }, fileOutputs: [{ filepath: 'a' }] };
    const request = RoomCompositeEgressRequest.fromJson({ roomName: 'demo', ...both });
    expect(plan(request).outputs).toHaveLength(1);
  });
});
