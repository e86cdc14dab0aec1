import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { TrackSource } from '@livekit/protocol';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import type { BridgeClient } from '../../src/bridge/client.ts';
import type { BridgeSubscription } from '../../src/bridge/protocol.ts';
import type { SfuParticipant, SfuRoom, SfuTrack } from '../../src/sfu/types.ts';
import { ClientLog, startBridge } from '../support/bridge.ts';
import type { TestBridge } from '../support/bridge.ts';
import { freePort } from '../support/ports.ts';
import { RtpReceiver } from '../support/rtp-receiver.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import type { VideoSenderOptions } from '../support/rtp-sender.ts';
import { sleep, until, visible } from '../support/sfu.ts';

const run = promisify(execFile);

let bridge: TestBridge;
let rooms = 0;

beforeAll(async () => {
  bridge = await startBridge();
});
afterAll(() => bridge.close());

interface Entered {
  room: SfuRoom;
  client: BridgeClient;
  publishVideo: (options?: VideoSenderOptions) => Promise<{ sender: RtpSender; track: SfuTrack }>;
  publishAudio: (by: SfuParticipant) => Promise<SfuTrack>;
  receive: (
    trackId: string,
    by?: BridgeClient,
  ) => Promise<{ receiver: RtpReceiver; subscription: BridgeSubscription }>;
}

/** A room with a worker in it, until the test is over, and what may be done there. */
async function enter({ onTestFinished }: Pick<TestContext, 'onTestFinished'>): Promise<Entered> {
  const room = await bridge.sfu.createRoom({ name: `media-${++rooms}` });
  onTestFinished(() => bridge.sfu.deleteRoom(room.name));
  const client = await bridge.connect('EG_1', room.name);
  return {
    room,
    client,
    publishVideo: async (options) => {
      const sender = await RtpSender.video(room, options);
      onTestFinished(() => sender.close());
      const ann = room.participants.get('ann') ?? room.join({ identity: 'ann', permissions: visible });
      return { sender, track: ann.publish(sender.producer, { source: TrackSource.CAMERA }) };
    },
    publishAudio: async (by) => {
      const sender = await RtpSender.audio(room);
      onTestFinished(() => sender.close());
      return by.publish(sender.producer, { source: TrackSource.MICROPHONE });
    },
    receive: async (trackId, by = client) => {
      const receiver = await RtpReceiver.open();
      onTestFinished(() => receiver.close());
      const subscription = await by.request('subscribe', { trackId, ip: '127.0.0.1', port: receiver.port });
      return { receiver, subscription };
    },
  };
}

// At once, each in a room of its own: little is sent, and long waited.
describe.concurrent('a subscription', () => {
  it('flows from resume on, and begins with a keyframe', async (context) => {
    const { client, publishVideo, receive } = await enter(context);
    const { track } = await publishVideo();
    const { receiver, subscription } = await receive(track.sid);
    const { subscriptionId } = subscription;
    expect(subscription).toMatchObject({
      trackId: track.sid,
      kind: 'video',
      codec: {
        mimeType: 'video/VP8',
        payloadType: 96,
        clockRate: 90000,
        rtcpFeedback: [
          { type: 'nack' },
          { type: 'nack', parameter: 'pli' },
          { type: 'ccm', parameter: 'fir' },
        ],
      },
      cname: 'test-sender',
      type: 'simple',
      spatialLayers: 1,
      remote: { ip: '127.0.0.1' },
      producerPaused: false,
    });
    expect(subscription.srtp).toBeUndefined();
    await sleep(200);
    expect(receiver.packets).toEqual([]);
    await client.request('resume', { subscriptionId });
    await client.request('requestKeyFrame', { subscriptionId });
    await until('RTP', () => receiver.packets.length > 10);
    expect(receiver.packets[0]).toBe(receiver.keyFrames[0]);
    for (const packet of receiver.packets) {
      expect(packet).toMatchObject({ payloadType: 96, ssrc: subscription.ssrc });
    }
    const { stats } = await client.request('stats', { subscriptionId });
    expect(stats.some((stat) => stat.type === 'outbound-rtp' && Number(stat.packetCount) > 5)).toBe(true);
    await client.request('pause', { subscriptionId });
    await sleep(50);
    const count = receiver.packets.length;
    await sleep(200);
    expect(receiver.packets).toHaveLength(count);
  });

  it('sends a lost packet again on the same SSRC', async (context) => {
    const { client, publishVideo, receive } = await enter(context);
    const { track } = await publishVideo();
    const { receiver, subscription } = await receive(track.sid);
    await client.request('resume', { subscriptionId: subscription.subscriptionId });
    await until('RTP', () => receiver.packets.length > 10);
    const lost = receiver.packets[5]!;
    receiver.nack(subscription.remote.port, subscription.ssrc, lost.sequence);
    const again = (): number => receiver.packets.filter(({ sequence }) => sequence === lost.sequence).length;
    await until('the packet again', () => again() === 2, 2000);
  });

  it('of simulcast goes to the layer preferred, and says so', async (context) => {
    const { client, publishVideo, receive } = await enter(context);
    const log = new ClientLog(client);
    const { track } = await publishVideo({ layers: 3 });
    const { receiver, subscription } = await receive(track.sid);
    const { subscriptionId } = subscription;
    expect(subscription).toMatchObject({ type: 'simulcast', spatialLayers: 3 });
    await client.request('setPreferredLayers', { subscriptionId, spatialLayer: 0 });
    await client.request('resume', { subscriptionId });
    const layer = (): unknown =>
      log.events.findLast((event) => event.event === 'layersChanged')?.spatialLayer;
    await until('layer 0', () => layer() === 0);
    await client.request('setPreferredLayers', { subscriptionId, spatialLayer: 2 });
    await until('layer 2', () => layer() === 2);
    expect(new Set(receiver.packets.map(({ ssrc }) => ssrc))).toEqual(new Set([subscription.ssrc]));
  });

  it('closes with its track, and the next track is another one', async (context) => {
    const { client, publishVideo, receive } = await enter(context);
    const log = new ClientLog(client);
    const first = await publishVideo();
    const { subscription } = await receive(first.track.sid);
    first.track.close();
    const { subscriptionId } = subscription;
    await until('the end of the subscription', () => log.names.includes('subscriptionClosed'));
    expect(log.events).toContainEqual({
      event: 'subscriptionClosed',
      subscriptionId,
      trackId: first.track.sid,
    });
    await expect(client.request('resume', { subscriptionId })).rejects.toMatchObject({ code: 'not_found' });
    const second = await publishVideo();
    const { receiver, subscription: next } = await receive(second.track.sid);
    await client.request('resume', { subscriptionId: next.subscriptionId });
    await until('RTP', () => receiver.packets.length > 0);
  });

  it('ends with unsubscribe, and with the worker', async (context) => {
    const { room, client, publishVideo, receive } = await enter(context);
    const { track } = await publishVideo();
    const kept = await receive(track.sid);
    const given = await receive(track.sid);
    for (const { subscription } of [kept, given]) {
      await client.request('resume', { subscriptionId: subscription.subscriptionId });
    }
    await until('RTP', () => kept.receiver.packets.length > 3 && given.receiver.packets.length > 3);
    await client.request('unsubscribe', { subscriptionId: given.subscription.subscriptionId });
    await sleep(50);
    const after = given.receiver.packets.length;
    client.close();
    await until('the loss', () => bridge.lost.some(({ roomName }) => roomName === room.name));
    await sleep(50);
    const end = kept.receiver.packets.length;
    await sleep(200);
    expect(given.receiver.packets).toHaveLength(after);
    expect(kept.receiver.packets).toHaveLength(end);
  });

  it('of a muted track says so, and flows again when it is unmuted', async (context) => {
    const { client, publishVideo, receive } = await enter(context);
    const { track } = await publishVideo();
    await track.setMuted(true);
    const { receiver, subscription } = await receive(track.sid);
    expect(subscription.producerPaused).toBe(true);
    await client.request('resume', { subscriptionId: subscription.subscriptionId });
    await sleep(200);
    expect(receiver.packets).toEqual([]);
    await track.setMuted(false);
    await until('RTP', () => receiver.keyFrames.length > 0);
  });

  it('needs the right, and a visible track', async (context) => {
    const { room, publishVideo, publishAudio, receive } = await enter(context);
    const { track } = await publishVideo();
    const publisher = await bridge.connect('IN_1', room.name, 1, { canPublish: true, canSubscribe: false });
    await expect(receive(track.sid, publisher)).rejects.toMatchObject({ code: 'not_allowed' });
    const hidden = room.join({ identity: 'ghost', permissions: { ...visible, hidden: true } });
    const ghostly = await publishAudio(hidden);
    await expect(receive(ghostly.sid)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('of sound has neither keyframes nor layers', async (context) => {
    const { room, client, publishAudio, receive } = await enter(context);
    const track = await publishAudio(room.join({ identity: 'ann', permissions: visible }));
    const { receiver, subscription } = await receive(track.sid);
    const { subscriptionId } = subscription;
    expect(subscription.codec).toMatchObject({ mimeType: 'audio/opus', payloadType: 111, channels: 2 });
    await client.request('resume', { subscriptionId });
    await until('RTP', () => receiver.packets.length > 3);
    await expect(
      client.request('keyFrameCadence', { subscriptionId, intervalMs: 1000 }),
    ).rejects.toMatchObject({
      code: 'invalid',
    });
  });

  it('with SRTP is read by GStreamer with the keys of the answer', async (context) => {
    const { room, client, publishAudio } = await enter(context);
    const track = await publishAudio(room.join({ identity: 'ann', permissions: visible }));
    const port = await freePort();
    const own = {
      cryptoSuite: 'AES_CM_128_HMAC_SHA1_80' as const,
      keyBase64: randomBytes(30).toString('base64'),
    };
    const { subscriptionId, srtp, ssrc } = await client.request('subscribe', {
      trackId: track.sid,
      ip: '127.0.0.1',
      port,
      srtp: own,
    });
    expect(srtp?.cryptoSuite).toBe(own.cryptoSuite);
    expect(srtp?.keyBase64).not.toBe(own.keyBase64);
    const read = (key: Buffer): Promise<unknown> =>
      run(
        'gst-launch-1.0',
        [
          ...['-q', 'udpsrc', 'address=127.0.0.1', `port=${port}`],
          `caps=application/x-srtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111,ssrc=(uint)${ssrc},` +
            `srtp-key=(buffer)${key.toString('hex')},srtp-cipher=aes-128-icm,srtp-auth=hmac-sha1-80,` +
            'srtcp-cipher=aes-128-icm,srtcp-auth=hmac-sha1-80',
          ...['!', 'srtpdec', '!', 'rtpopusdepay', '!', 'fakesink', 'num-buffers=10'],
        ],
        { timeout: 4000 },
      );
    await client.request('resume', { subscriptionId });
    await read(Buffer.from(srtp!.keyBase64, 'base64'));
    // With another key nothing is authentic, and GStreamer waits until it is killed.
    await expect(read(randomBytes(30))).rejects.toMatchObject({ killed: true });
  });

  it('refuses SRTP keys of a wrong length', async (context) => {
    const { client, publishVideo } = await enter(context);
    const { track } = await publishVideo();
    const srtp = { cryptoSuite: 'AES_CM_128_HMAC_SHA1_80' as const, keyBase64: 'AAAA' };
    await expect(
      client.request('subscribe', { trackId: track.sid, ip: '127.0.0.1', port: 5000, srtp }),
    ).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe.concurrent('a publication', () => {
  const vp8 = {
    mimeType: 'video/VP8',
    payloadType: 100,
    clockRate: 90000,
    parameters: {},
    rtcpFeedback: [{ type: 'nack', parameter: 'pli' }],
  };

  it('is a track of a visible participant; the room asks it for keyframes', async (context) => {
    const { room, client, receive } = await enter(context);
    const watcher = new ClientLog(client);
    const ingress = await bridge.connect('IN_1', room.name, 1, { canPublish: true });
    const log = new ClientLog(ingress);
    const port = await freePort();
    const { publicationId, trackId, remote } = await ingress.request('publish', {
      kind: 'video',
      source: 'camera',
      name: 'cam',
      ip: '127.0.0.1',
      port,
      width: 320,
      height: 180,
      rtpParameters: { codecs: [vp8], encodings: [{ ssrc: 4711 }], cname: 'ingress' },
    });
    expect(room.participants.get('IN_1')?.info().tracks[0]).toMatchObject({
      sid: trackId,
      width: 320,
      height: 180,
    });
    expect(log.names).toEqual([]);
    await until('the track', () => watcher.names.includes('trackPublished'));

    const { receiver, subscription } = await receive(trackId);
    expect(subscription.cname).toBe('ingress');
    await client.request('resume', { subscriptionId: subscription.subscriptionId });
    const gst = run(
      'gst-launch-1.0',
      [
        ...['-q', 'videotestsrc', 'is-live=true', 'num-buffers=40', '!', 'video/x-raw,width=320,height=180'],
        ...[
          '!',
          'vp8enc',
          'deadline=1',
          'keyframe-max-dist=1000',
          '!',
          'rtpvp8pay',
          'pt=100',
          'ssrc=4711',
          '!',
        ],
        ...[
          'udpsink',
          `host=${remote.ip}`,
          `port=${remote.port}`,
          `bind-port=${port}`,
          'bind-address=127.0.0.1',
        ],
      ],
      { timeout: 20_000 },
    );
    await until('RTP', () => receiver.packets.length > 0, 10_000);
    await sleep(300);
    await client.request('requestKeyFrame', { subscriptionId: subscription.subscriptionId });
    await until('the request', () => log.names.includes('keyFrameRequested'));
    expect(log.events).toContainEqual({ event: 'keyFrameRequested', publicationId });

    await ingress.request('setMuted', { publicationId, muted: true });
    await until('the mute', () => watcher.names.includes('trackMuted'));
    await ingress.request('unpublish', { publicationId });
    await until('the end', () => watcher.names.includes('trackUnpublished'));
    await expect(ingress.request('unpublish', { publicationId })).rejects.toMatchObject({
      code: 'not_found',
    });
    await gst;
  });

  it('needs the right, and a codec of the room', async (context) => {
    const { room } = await enter(context);
    const params = {
      kind: 'video' as const,
      source: 'camera' as const,
      name: '',
      ip: '127.0.0.1',
      port: 5000,
      rtpParameters: { codecs: [vp8], encodings: [{ ssrc: 1 }], cname: 'c' },
    };
    const watcher = await bridge.connect('W', room.name, 1, { canPublish: false });
    await expect(watcher.request('publish', params)).rejects.toMatchObject({ code: 'not_allowed' });
    const ingress = await bridge.connect('IN_1', room.name, 1, { canPublish: true });
    const h265 = { ...vp8, mimeType: 'video/H265' };
    await expect(
      ingress.request('publish', { ...params, rtpParameters: { ...params.rtpParameters, codecs: [h265] } }),
    ).rejects.toMatchObject({
      code: 'unsupported_codec',
      message: expect.stringContaining('H265') as string,
    });
  });
});

describe.concurrent('the keyframe schedule', () => {
  it('is one train of PLIs for two recorders', async (context) => {
    const { room, client, publishVideo, receive } = await enter(context);
    const second = await bridge.connect('EG_2', room.name);
    const { sender, track } = await publishVideo();
    const receivers: RtpReceiver[] = [];
    for (const by of [client, second]) {
      const { receiver, subscription } = await receive(track.sid, by);
      const { subscriptionId } = subscription;
      receivers.push(receiver);
      await by.request('resume', { subscriptionId });
      await by.request('keyFrameCadence', { subscriptionId, intervalMs: by === client ? 1000 : 700 });
    }
    await until('the first pictures', () => receivers.every(({ keyFrames }) => keyFrames.length > 0));
    await sleep(800);
    const before = sender.plis.length;
    await sleep(3500);
    const train = sender.plis.slice(before).map(({ at }) => at);
    const gaps = train.slice(1).map((at, i) => at - train[i]!);
    // Five intervals of 700 ms; two trains would be eight requests and more.
    expect(train.length).toBeGreaterThanOrEqual(4);
    expect(train.length).toBeLessThanOrEqual(6);
    for (const gap of gaps) expect(Math.abs(gap - 700)).toBeLessThan(300);
    for (const { keyFrames } of receivers) expect(keyFrames.length).toBeGreaterThanOrEqual(4);
  });

  it('asks nothing of a publisher that sends keyframes often enough', async (context) => {
    const { client, publishVideo, receive } = await enter(context);
    const { sender, track } = await publishVideo({ gopMs: 600 });
    const { receiver, subscription } = await receive(track.sid);
    const { subscriptionId } = subscription;
    await client.request('resume', { subscriptionId });
    await client.request('keyFrameCadence', { subscriptionId, intervalMs: 600 });
    await until('the first picture', () => receiver.keyFrames.length > 0);
    await sleep(700);
    const before = sender.plis.length;
    await sleep(3000);
    expect(sender.plis).toHaveLength(before);
    expect(receiver.keyFrames.length).toBeGreaterThanOrEqual(4);
  });

  it('stops when nobody asks any more, and asks nothing for a muted track', async (context) => {
    const { client, publishVideo, receive } = await enter(context);
    const { sender, track } = await publishVideo();
    const { receiver, subscription } = await receive(track.sid);
    const { subscriptionId } = subscription;
    await client.request('resume', { subscriptionId });
    await client.request('keyFrameCadence', { subscriptionId, intervalMs: 300 });
    await until('a few requests', () => sender.plis.length > 3);
    await track.setMuted(true);
    await sleep(100);
    const muted = sender.plis.length;
    await sleep(800);
    expect(sender.plis).toHaveLength(muted);
    await track.setMuted(false);
    await until('the train again', () => sender.plis.length > muted + 2);
    await client.request('keyFrameCadence', { subscriptionId, intervalMs: 0 });
    await sleep(100);
    const ended = sender.plis.length;
    await sleep(800);
    expect(sender.plis).toHaveLength(ended);
    expect(receiver.keyFrames.length).toBeGreaterThan(3);
  });

  it('asks for the layer each recorder receives', async (context) => {
    const { room, client, publishVideo, receive } = await enter(context);
    const second = await bridge.connect('EG_2', room.name);
    const { sender, track } = await publishVideo({ layers: 2 });
    for (const [by, spatialLayer] of [
      [client, 0],
      [second, 1],
    ] as const) {
      const { subscription } = await receive(track.sid, by);
      const { subscriptionId } = subscription;
      await by.request('setPreferredLayers', { subscriptionId, spatialLayer });
      await by.request('resume', { subscriptionId });
      await by.request('keyFrameCadence', { subscriptionId, intervalMs: 500 });
    }
    await sleep(1200);
    const before = sender.plis.length;
    await sleep(2100);
    const train = sender.plis.slice(before);
    for (const ssrc of sender.ssrcs) {
      const count = train.filter((pli) => pli.ssrc === ssrc).length;
      expect(count).toBeGreaterThanOrEqual(3);
      expect(count).toBeLessThanOrEqual(5);
    }
  });
});
