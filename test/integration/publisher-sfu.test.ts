/** Test publishers in a real room: WHIP, mediasoup, nothing in between. */
import { createSocket } from 'node:dgram';
import type { types as ms } from 'mediasoup';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';

import {
  startTestPublisher,
  type TestPublisher,
  type TestPublisherOptions,
} from '../../src/demo/publisher.ts';
import type { SfuTrack } from '../../src/sfu/types.ts';
import { startSignaling, type SignalingServer } from '../support/signaling-server.ts';

let server: SignalingServer;
beforeAll(async () => {
  server = await startSignaling();
});
afterAll(() => server.close());

async function publish(
  room: string,
  identity: string,
  options: Partial<TestPublisherOptions>,
): Promise<TestPublisher> {
  const whipUrl = new URL('/whip', server.url).href;
  const token = await server.token(room, identity);
  return startTestPublisher({ whipUrl, token, color: 'red', logger: pino({ level: 'silent' }), ...options });
}

const tracks = (room: string, identity: string): SfuTrack[] => [
  ...(server.sfu.room(room)?.participants.get(identity)?.tracks.values() ?? []),
];

const track = (room: string, identity: string, kind: 'audio' | 'video') =>
  tracks(room, identity).find((each) => each.kind === kind)!;

async function packets(of: SfuTrack): Promise<number> {
  const stats = await of.producer.getStats();
  return stats
    .filter(({ type }) => type === 'inbound-rtp')
    .reduce((sum, { packetCount }) => sum + packetCount, 0);
}

test('two publish at once, are heard of by their names, mute and leave', async () => {
  const [ann, bob] = await Promise.all([
    publish('pair', 'ann', { color: 'red', profile: 'high' }),
    publish('pair', 'bob', { color: 'blue', videoCodec: 'vp8' }),
  ]);
  try {
    await expect
      .poll(() => tracks('pair', 'ann').length + tracks('pair', 'bob').length, { timeout: 5000 })
      .toBe(4);
    expect(track('pair', 'ann', 'video').mimeType).toBe('video/H264');
    expect(
      track('pair', 'ann', 'video').producer.rtpParameters.codecs[0]?.parameters?.['profile-level-id'],
    ).toBe('64001f');
    expect(track('pair', 'bob', 'video').mimeType).toBe('video/VP8');
    expect(track('pair', 'bob', 'audio').mimeType).toBe('audio/opus');

    ann.muteVideo(true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const [video, audio] = [track('pair', 'ann', 'video'), track('pair', 'ann', 'audio')];
    const [pictures, sounds] = [await packets(video), await packets(audio)];
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(await packets(video)).toBe(pictures);
    expect(await packets(audio)).toBeGreaterThan(sounds + 20);
    ann.muteVideo(false);
    await expect.poll(() => packets(video), { timeout: 3000 }).toBeGreaterThan(pictures + 20);

    for (const each of [...tracks('pair', 'ann'), ...tracks('pair', 'bob')])
      for (const stat of await each.producer.getStats()) expect(stat.packetsLost).toBe(0);
  } finally {
    await Promise.all([ann.stop(), bob.stop()]);
  }
  expect([...(server.sfu.room('pair')?.participants.keys() ?? [])]).toEqual([]);
});

/**
 * What a receiver understands that estimates no bandwidth: with transport-cc mediasoup would choose the layer by
 * an estimate, and this receiver sends it nothing to estimate from.
 */
const withoutFeedback = (codecs: ms.RtpCodecCapability[]): ms.RtpCodecCapability[] =>
  codecs.map((codec) => ({ ...codec, rtcpFeedback: [{ type: 'nack', parameter: 'pli' }] }));

test.for(['vp8', 'h264'] as const)(
  '%s simulcast: each layer flows, and answers a keyframe request of its own',
  async (videoCodec) => {
    // No keyframe comes by itself, so each change of layer is an answer.
    const publisher = await publish('layers', videoCodec, {
      videoCodec,
      simulcast: true,
      gopSeconds: 600,
      audio: false,
    });
    const socket = createSocket('udp4');
    try {
      await expect.poll(() => tracks('layers', videoCodec).length, { timeout: 5000 }).toBe(1);
      const { producer, spatialLayers } = track('layers', videoCodec, 'video');
      expect(producer.type).toBe('simulcast');
      expect(spatialLayers).toBe(3);
      const flowing = async () => (await producer.getStats()).map(({ rid }) => rid);
      await expect.poll(flowing, { timeout: 10_000 }).toEqual(expect.arrayContaining(['q', 'h', 'f']));

      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
      const room = server.sfu.room('layers')!;
      const transport = await room.createPlainTransport({ srtp: false });
      await transport.connect({ ip: '127.0.0.1', port: socket.address().port });
      const consumer = await transport.consume({
        producerId: producer.id,
        rtpCapabilities: { codecs: withoutFeedback(room.router.rtpCapabilities.codecs ?? []) },
      });
      const current = () => consumer.currentLayers?.spatialLayer;
      for (const spatialLayer of [0, 2, 1]) {
        await consumer.setPreferredLayers({ spatialLayer });
        await expect.poll(current, { timeout: 5000 }).toBe(spatialLayer);
      }
    } finally {
      socket.close();
      await publisher.stop();
    }
  },
);

test('a publisher without permission is told so', async () => {
  const token = await server.token('locked', 'eve', { canPublish: false });
  const whipUrl = new URL('/whip', server.url).href;
  const start = startTestPublisher({ whipUrl, token, color: 'green', logger: pino({ level: 'silent' }) });
  await expect(start).rejects.toThrow(/WHIP server answered 403/);
});
