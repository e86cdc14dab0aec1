/** Which names of requests are looked up, and when. */
import {
  EncodedFileOutput,
  RoomCompositeEgressRequest,
  TrackEgressRequest,
  UpdateStreamRequest,
  WebhookConfig,
} from '@livekit/protocol';
import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { checkRequest } from '../../src/api/egress-start.ts';
import { updateStream } from '../../src/api/egress-update.ts';

const lookedUp: string[] = [];
const policy = { resolve: async (host: string) => void lookedUp.push(host) } as never;
beforeEach(() => void lookedUp.splice(0));

describe('destinations that are to be added', () => {
  async function add(...addOutputUrls: string[]): Promise<string> {
    const options = {
      store: { get: async () => undefined, changeDesired: async () => undefined },
      outbound: { policy },
    };
    const request = new UpdateStreamRequest({ egressId: 'EG_1', addOutputUrls });
    return updateStream(options, request, pino({ level: 'silent' })).then(
      () => 'taken',
      (error: unknown) => String(error),
    );
  }

  it('are looked up where they lead: a stream key is no host', async () => {
    expect(await add('mux://s3cr3t-k3y', 'rtmp://example.org/live/k3y')).toContain('egress does not exist');
    expect(lookedUp).toHaveLength(2);
    expect(lookedUp).toContain('example.org');
    expect(lookedUp.join()).not.toContain('k3y');
  });

  it('are counted and read before any is looked up', async () => {
    const many = Array.from({ length: 1000 }, (_, i) => `rtmp://host-${i}.example.org/live/k3y`);
    expect(await add(...many)).toContain('1000 destinations are too many');
    expect(await add('rtmp://example.org/live/k3y', 'ftp://elsewhere/x')).toContain('add_output_urls');
    expect(lookedUp).toEqual([]);
  });
});

describe('a request to start', () => {
  const rules = {
    outbound: { policy, storage: { s3: { endpoint: '' } } as never },
    signingKeys: new Set<string>(),
  };

  it('is read, and what it names counted, before anything is looked up', async () => {
    const request = new RoomCompositeEgressRequest({
      roomName: 'room',
      fileOutputs: [new EncodedFileOutput({ filepath: 'a' })],
      webhooks: Array.from(
        { length: 9 },
        (_, i) => new WebhookConfig({ url: `https://host-${i}.example.org` }),
      ),
    });
    await expect(checkRequest(request, rules, { egressId: '' })).rejects.toThrow('9 are too many');
    expect(lookedUp).toEqual([]);
    request.webhooks.splice(1);
    await checkRequest(request, rules, { egressId: '' });
    expect(lookedUp).toEqual(['host-0.example.org']);
  });

  it('has each name looked up once', async () => {
    const output = { case: 'websocketUrl' as const, value: 'wss://example.org/sound' };
    const request = new TrackEgressRequest({ roomName: 'room', trackId: 'TR_1', output });
    await checkRequest(request, rules, { egressId: '', trackKind: 'audio' });
    expect(lookedUp).toEqual(['example.org']);
  });
});
