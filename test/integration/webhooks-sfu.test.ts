import { TrackSource } from '@livekit/protocol';
import { pino } from 'pino';
import { expect, it, vi } from 'vitest';
import type { SfuRoom } from '../../src/sfu/types.ts';
import { connectRedis } from '../../src/store/index.ts';
import { connectSfuWebhooks, createWebhooks } from '../../src/webhooks/index.ts';
import { startRedis } from '../support/redis.ts';
import { recorder, startSfu, visible } from '../support/sfu.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import { loopbackPolicy } from '../support/outbound.ts';

const SECRET = 'a-secret-of-at-least-thirty-two-characters';

/** An Opus producer that never sends. */
async function opusProducer(room: SfuRoom) {
  const transport = await room.createPlainTransport({ srtp: false });
  return transport.produce({
    kind: 'audio',
    rtpParameters: {
      codecs: [{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48000, channels: 2 }],
      encodings: [{ ssrc: 1234 }],
    },
  });
}

it('tells the life of a room in order, as LiveKit does, and nothing of hidden participants', async () => {
  const logger = pino({ level: 'silent' });
  const redisServer = await startRedis();
  const receiver = await startWebhookServer('devkey', SECRET);
  const redis = connectRedis({ url: redisServer.url, logger });
  const config = { webhook: { urls: [receiver.url], apiKey: 'devkey' }, keys: { devkey: SECRET } };
  const webhooks = createWebhooks({ config, redis, policy: loopbackPolicy(logger), logger });
  await webhooks.start();
  const sfu = await startSfu();
  const disconnect = connectSfuWebhooks(sfu, webhooks, logger);

  const room = await sfu.createRoom({ name: 'demo', metadata: 'meta' });
  const alice = room.join({ identity: 'alice', permissions: visible });
  room.join(recorder);
  const track = alice.publish(await opusProducer(room), { source: TrackSource.MICROPHONE, name: 'mic' });
  await track.setMuted(true);
  room.setMetadata('changed');
  track.close();
  alice.close('client_left');
  sfu.deleteRoom('demo');

  await vi.waitFor(() => expect(receiver.received).toHaveLength(6), { timeout: 10_000 });
  const seen = receiver.received.map(({ event }) => ({
    event: event.event,
    room: event.room?.name,
    sid: event.room?.sid,
    participant: event.participant?.identity,
    track: event.track?.sid,
  }));
  const base = { room: 'demo', sid: room.sid, participant: undefined, track: undefined };
  const ofAlice = { ...base, participant: 'alice' };
  expect(seen).toEqual([
    { ...base, event: 'room_started' },
    { ...ofAlice, event: 'participant_joined' },
    { ...ofAlice, event: 'track_published', track: track.sid },
    { ...ofAlice, event: 'track_unpublished', track: track.sid },
    { ...ofAlice, event: 'participant_left' },
    { ...base, event: 'room_finished' },
  ]);
  expect(receiver.received[0]?.event.room?.metadata).toBe('meta');
  expect(receiver.received[2]?.event.track).toMatchObject({ name: 'mic', source: TrackSource.MICROPHONE });
  expect(receiver.rejected).toEqual([]);

  disconnect();
  await sfu.createRoom({ name: 'unheard' });
  await sfu.close();
  await webhooks.close();
  expect(receiver.received).toHaveLength(6);
  await redis.close();
  await receiver.close();
  await redisServer.stop();
});
