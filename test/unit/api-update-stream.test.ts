/** What UpdateStream looks up, and when. */
import { UpdateStreamRequest } from '@livekit/protocol';
import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { updateStream } from '../../src/api/egress-update.ts';

describe('destinations that are to be added', () => {
  const lookedUp: string[] = [];
  beforeEach(() => void lookedUp.splice(0));

  async function add(...addOutputUrls: string[]): Promise<string> {
    const options = {
      store: { get: async () => undefined, changeDesired: async () => undefined },
      outbound: { policy: { resolve: async (host: string) => void lookedUp.push(host) } as never },
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
