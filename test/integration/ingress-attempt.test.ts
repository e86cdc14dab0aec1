/** Attempts at sessions of ingresses: real Redis, SFU, bridge and pipelines, FFmpeg as the source. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { IngressInfo, IngressState_Status as Status } from '@livekit/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BridgeClient } from '../../src/bridge/client.ts';
import { outputsFor } from '../../src/ingress/outputs.ts';
import { IngressPipeline } from '../../src/ingress/pipeline.ts';
import { Run } from '../../src/ingress/run.ts';
import { byteSources } from '../../src/ingress/source.ts';
import { InputError } from '../../src/ingress/inputs/types.ts';
import type { Input } from '../../src/ingress/inputs/types.ts';
import { startBridge } from '../support/bridge.ts';
import type { TestBridge } from '../support/bridge.ts';
import { ClipInput } from '../support/clip-input.ts';
import { startSessions } from '../support/ingress-session.ts';
import type { Sessions } from '../support/ingress-session.ts';
import { RtpReceiver } from '../support/rtp-receiver.ts';
import { EventLog, silentLogger, sleep, until } from '../support/sfu.ts';

const IDENTITY = 'camera';
const SEAT_MS = 4000;

let bridge: TestBridge;
let sessions: Sessions;
let r: string;
let rooms = 0;
const cleanup: (() => unknown)[] = [];

beforeAll(async () => {
  // Slow enough for a worker to come again before it is missed.
  bridge = await startBridge(500, SEAT_MS);
  sessions = await startSessions(bridge);
});
afterAll(async () => {
  await sessions.close();
  await bridge.close();
});
beforeEach(() => {
  r = `ingress-${++rooms}`;
});
afterEach(async () => {
  for (const each of cleanup.splice(0).reverse()) await each();
  for (const room of bridge.sfu.rooms()) bridge.sfu.deleteRoom(room.name);
  bridge.lost.length = 0;
  await until('every pipeline to be gone', () => sessions.pipelines.every(({ running }) => !running));
  sessions.pipelines.length = 0;
});

/** A session that runs until the test is over. */
async function start(input: Input, options: Parameters<Sessions['begin']>[1] = {}) {
  const { ingressId, session } = await sessions.begin(r, options);
  const attempt = await sessions.attempt(ingressId, input);
  const outcome = attempt.run();
  cleanup.push(async () => {
    attempt.handOver();
    await outcome;
  });
  return { ingressId, session, attempt, outcome };
}

const participant = () => bridge.sfu.room(r)?.participants.get(IDENTITY);

/** Receives one track of the room. */
async function receive(trackId: string): Promise<RtpReceiver> {
  const client: BridgeClient = await bridge.connect(`EG_${trackId}`, r);
  const receiver = await RtpReceiver.open();
  cleanup.push(() => receiver.close());
  const { subscriptionId, kind } = await client.request('subscribe', {
    trackId,
    ip: '127.0.0.1',
    port: receiver.port,
  });
  await client.request('resume', { subscriptionId });
  if (kind === 'video') await client.request('requestKeyFrame', { subscriptionId });
  return receiver;
}

async function transports(): Promise<number> {
  return ((await bridge.sfu.room(r)?.router.dump())?.transportIds ?? []).length;
}

describe('a session', () => {
  it('copies what is fit, encodes the rest, and says so', async () => {
    const { ingressId } = await start(new ClipInput());
    const state = await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    const publisher = participant()!;
    expect(publisher).toMatchObject({ name: 'Camera', metadata: '{"gate":1}' });
    expect(state.roomId).toBe(publisher.room.sid);
    expect(state.error).toBe(
      'video: copied (H.264 without B-frames); audio: encoded to Opus (source is AAC)',
    );
    expect(state.tracks.map(({ sid }) => sid).sort()).toEqual([...publisher.tracks.keys()].sort());
    expect(state.video).toMatchObject({ mimeType: 'video/h264', width: 640, height: 360, framerate: 25 });
    expect(state.audio).toMatchObject({ mimeType: 'audio/aac', channels: 2, sampleRate: 44_100 });
    for (const track of publisher.tracks.values()) {
      const receiver = await receive(track.sid);
      await until(`RTP of ${track.mimeType}`, () => receiver.packets.length > 20);
    }
    expect([...publisher.tracks.values()].map(({ mimeType }) => mimeType).sort()).toEqual([
      'audio/opus',
      'video/H264',
    ]);
  }, 30_000);

  it('encodes simulcast layers when it is told to, no larger than the source', async () => {
    const { ingressId } = await start(new ClipInput({ size: { width: 1280, height: 720 } }), {
      info: { enableTranscoding: true },
    });
    const state = await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    const track = [...participant()!.tracks.values()].find(({ kind }) => kind === 'video')!;
    expect(track.spatialLayers).toBe(3);
    const info = state.tracks.find(({ sid }) => sid === track.sid)!;
    expect(info).toMatchObject({ width: 1280, height: 720, simulcast: true });
    expect(info.codecs[0]!.layers.map(({ width, bitrate }) => [width, bitrate])).toEqual([
      [320, 237_500],
      [640, 671_751],
      [1280, 1_900_000],
    ]);
    await until(
      'every layer to come',
      () => track.producer.score.length === 3 && track.producer.score.every(({ score }) => score > 0),
      10_000,
    );
    const receiver = await receive(track.sid);
    await until('RTP', () => receiver.packets.length > 20);
  }, 30_000);

  it('keeps its participant while the source is away, and publishes again', async () => {
    const input = new ClipInput();
    const { ingressId } = await start(input);
    const first = await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    const before = participant()!;
    const events = new EventLog(before.room);
    input.break();
    const away = await sessions.untilStatus(ingressId, Status.ENDPOINT_BUFFERING);
    expect(away.error).toBe('the clip broke off');
    expect(away.tracks).toEqual([]);
    const back = await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    expect(participant()).toBe(before);
    expect(before.tracks.size).toBe(2);
    expect(back.tracks.map(({ sid }) => sid)).not.toEqual(first.tracks.map(({ sid }) => sid));
    expect(events.types.filter((type) => type.startsWith('participant'))).toEqual([]);
    expect(input.running).toBe(1);
    expect(await transports()).toBe(2);
    const track = [...before.tracks.values()].find(({ kind }) => kind === 'video')!;
    const receiver = await receive(track.sid);
    await until('RTP of the second run', () => receiver.packets.length > 20);
  }, 30_000);

  it('starts its pipeline again when it dies', async () => {
    const { ingressId } = await start(new ClipInput());
    await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    const before = participant()!;
    process.kill(sessions.pipelines[0]!.pid!, 'SIGKILL');
    await sessions.untilStatus(ingressId, Status.ENDPOINT_BUFFERING);
    await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    expect(participant()).toBe(before);
    expect(sessions.pipelines.map(({ running }) => running)).toEqual([false, true]);
  }, 30_000);

  it('of a URL is complete when it has been played, with all of it sent', async () => {
    const input = new ClipInput({ seconds: 3, pacing: 'timestamps' });
    const began = performance.now();
    const { ingressId, outcome } = await start(input, { source: { type: 'url' } });
    await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    expect(await outcome).toBe('ended');
    expect(performance.now() - began).toBeGreaterThan(2800);
    const state = await sessions.state(ingressId);
    expect(state).toMatchObject({ status: Status.ENDPOINT_COMPLETE, error: '', tracks: [] });
    expect(state.endedAt).toBeGreaterThan(state.startedAt);
    expect((await sessions.store.get(ingressId))?.session).toBeUndefined();
    expect(participant()).toBeUndefined();
    expect(await transports()).toBe(0);
    expect(input.running).toBe(0);
  }, 30_000);

  it('of a push ends INACTIVE when the publisher is gone for good', async () => {
    const { ingressId, outcome } = await start(new ClipInput({ seconds: 2 }));
    expect(await outcome).toBe('ended');
    expect((await sessions.state(ingressId)).status).toBe(Status.ENDPOINT_INACTIVE);
  }, 30_000);

  it('ends as ERROR when its source can never work', async () => {
    const input: Input = {
      connect: () => Promise.reject(new InputError('there is no such camera', { retry: false })),
    };
    const { ingressId, outcome } = await start(input);
    expect(await outcome).toBe('ended');
    expect(await sessions.state(ingressId)).toMatchObject({
      status: Status.ENDPOINT_ERROR,
      error: 'there is no such camera',
    });
    // Nothing came: nobody has been in the room.
    expect(bridge.sfu.room(r)).toBeUndefined();
  });

  it('tries again when its source may work later, and says what is wrong meanwhile', async () => {
    const clip = new ClipInput();
    let tries = 0;
    const input: Input = {
      connect: async () => {
        if (++tries < 3) throw new InputError('the camera is rebooting', { retry: true });
        return clip.connect();
      },
    };
    const { ingressId } = await start(input, { source: { type: 'url' } });
    await until('the second try', () => tries === 2);
    expect(await sessions.state(ingressId)).toMatchObject({
      status: Status.ENDPOINT_BUFFERING,
      error: 'the camera is rebooting',
    });
    await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
  }, 30_000);
});

describe('the end from outside', () => {
  /** Publishing, with a source that is known. */
  async function live(options: Parameters<Sessions['begin']>[1] = {}) {
    const input = new ClipInput();
    const started = await start(input, options);
    await sessions.untilStatus(started.ingressId, Status.ENDPOINT_PUBLISHING);
    return { ...started, input };
  }

  it('comes with the room', async () => {
    const { ingressId, outcome, input } = await live();
    bridge.sfu.deleteRoom(r);
    expect(await outcome).toBe('ended');
    expect(await sessions.state(ingressId)).toMatchObject({
      status: Status.ENDPOINT_INACTIVE,
      error: 'the room was closed',
    });
    expect(input.running).toBe(0);
    expect(bridge.lost).toEqual([]);
  }, 30_000);

  it('comes by RemoveParticipant', async () => {
    const { ingressId, outcome } = await live();
    participant()!.close('removed');
    expect(await outcome).toBe('ended');
    expect((await sessions.state(ingressId)).status).toBe(Status.ENDPOINT_INACTIVE);
  }, 30_000);

  it('comes when the ingress is disabled', async () => {
    const { ingressId, outcome } = await live();
    await sessions.store.update(ingressId, (info) => Object.assign(info, { enabled: false }));
    expect(await outcome).toBe('ended');
    expect(await sessions.state(ingressId)).toMatchObject({
      status: Status.ENDPOINT_INACTIVE,
      error: 'the ingress was disabled',
    });
    expect(participant()).toBeUndefined();
  }, 30_000);

  it('comes when the ingress is deleted, and the participant leaves at once', async () => {
    const { ingressId, outcome, input } = await live();
    await sessions.store.delete(ingressId);
    expect(await outcome).toBe('superseded');
    expect(participant()).toBeUndefined();
    expect(await transports()).toBe(0);
    expect(input.running).toBe(0);
    expect(await sessions.store.get(ingressId)).toBeUndefined();
  }, 30_000);

  it('is written by nobody who is superseded, and the seat stays for who comes', async () => {
    const { ingressId, session, outcome, input } = await live();
    const before = participant()!;
    const next = await sessions.store.raiseAttempt(ingressId, session.attempt);
    expect(next).toBeGreaterThan(session.attempt);
    const state = await sessions.state(ingressId);
    expect(await outcome).toBe('superseded');
    expect(await sessions.state(ingressId)).toEqual(state);
    expect(before.closed).toBe(false);
    expect(before.tracks.size).toBe(0);
    expect(await transports()).toBe(0);
    expect(input.running).toBe(0);
  }, 30_000);

  it('is a hand-over when the worker stops: the next attempt takes the same seat', async () => {
    const { ingressId, session, attempt, outcome } = await live({ source: { type: 'url' } });
    const before = participant()!;
    const events = new EventLog(before.room);
    // The worker ends, but a URL is pulled for as long as its ingress exists.
    attempt.stop('Service shutting down');
    expect(await outcome).toBe('handed-over');
    expect(before.tracks.size).toBe(0);
    expect(await sessions.store.raiseAttempt(ingressId, session.attempt)).toBeDefined();

    const second = await sessions.attempt(ingressId, new ClipInput());
    const done = second.run();
    cleanup.push(async () => {
      second.handOver();
      await done;
    });
    await until('the tracks to come back', () => before.tracks.size === 2, 10_000);
    const state = await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    expect(state.tracks.map(({ sid }) => sid).sort()).toEqual([...before.tracks.keys()].sort());
    expect(participant()).toBe(before);
    await sleep(100);
    expect(events.types.filter((type) => type.startsWith('participant'))).toEqual([]);
  }, 30_000);
});

describe('a bridge that breaks off', () => {
  /** A way to the bridge that can be cut: on the worker's side only, or on both. */
  async function cuttable() {
    const { port } = new URL(bridge.url);
    const links = new Set<{ near: Socket; far: Socket }>();
    const proxy = createServer((near) => {
      const far = connect(Number(port), '127.0.0.1');
      near.pipe(far, { end: false });
      far.pipe(near, { end: false });
      for (const socket of [near, far]) socket.on('error', () => undefined);
      links.add({ near, far });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    cleanup.push(() => {
      for (const { near, far } of links) for (const socket of [near, far]) socket.destroy();
      proxy.close();
    });
    const address = proxy.address() as AddressInfo;
    return {
      url: `ws://127.0.0.1:${address.port}/bridge`,
      cut: (both: boolean) => {
        for (const { near, far } of links) {
          near.destroy();
          if (both) far.destroy();
        }
      },
    };
  }

  async function live() {
    const { url, cut } = await cuttable();
    const started = await start(new ClipInput(), { bridgeUrl: url });
    await sessions.untilStatus(started.ingressId, Status.ENDPOINT_PUBLISHING);
    return { ...started, cut };
  }

  it('is joined again before the SFU has noticed, in the same seat', async () => {
    const { ingressId, cut } = await live();
    const before = participant()!;
    cut(false);
    const away = await sessions.untilStatus(ingressId, Status.ENDPOINT_BUFFERING);
    expect(away.error).toBe('the connection to the room was lost');
    await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    expect(participant()).toBe(before);
    expect(before.tracks.size).toBe(2);
    expect(bridge.lost).toEqual([]);
  }, 30_000);

  it('is not joined again by an attempt that was given up', async () => {
    const { session, outcome, cut } = await live();
    cut(true);
    expect(await outcome).toBe('superseded');
    expect(bridge.lost).toEqual([{ identity: IDENTITY, roomName: r, attempt: session.attempt }]);
    expect(participant()!.tracks.size).toBe(0);
  }, 30_000);
});

describe('RTP that leaves the machine', () => {
  it('is encrypted, from the ports that were given', async () => {
    const client = await bridge.connect(IDENTITY, r, 1, { canPublish: true, canSubscribe: false });
    const info = new IngressInfo({ enableTranscoding: true });
    const signal = new AbortController().signal;
    const source = await byteSources(new ClipInput())(signal);
    const pipeline = await IngressPipeline.start({ logger: silentLogger });
    sessions.pipelines.push(pipeline);
    let flowing = 0;
    const run = await Run.start({
      source,
      pipeline,
      outputs: outputsFor(info, source),
      bridge: client,
      path: { address: '127.0.0.1', srtp: true, portRange: { min: 50_500, max: 50_599 } },
      info,
      logger: silentLogger,
      onFlowing: () => (flowing += 1),
      signal,
    });
    cleanup.push(() => run.close());
    await until('both kinds to flow', () => flowing === 2);
    const room = bridge.sfu.room(r)!;
    const dump = await room.router.dump();
    expect(dump.transportIds).toHaveLength(2);
    for (const { sid } of run.tracks) {
      const receiver = await receive(sid);
      await until('RTP', () => receiver.packets.length > 20);
    }
  }, 30_000);
});

describe('a publisher in a room of its own', () => {
  it('is transcoded into the room the ingress is for', async () => {
    // What WHIP would have put there.
    const target = r;
    r = `${target}-internal`;
    const publisher = await start(new ClipInput(), { info: { participantIdentity: 'whip' } });
    await sessions.untilStatus(publisher.ingressId, Status.ENDPOINT_PUBLISHING);
    const internal = r;
    r = target;
    const { ingressId } = await start(new ClipInput(), {
      source: { type: 'room', roomName: internal, identity: 'whip' },
      info: { enableTranscoding: true },
    });
    const state = await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    expect(state.error).toContain('enable_transcoding is true');
    expect(state.video).toMatchObject({ mimeType: 'video/h264' });
    const track = [...participant()!.tracks.values()].find(({ kind }) => kind === 'video')!;
    const receiver = await receive(track.sid);
    await until('RTP', () => receiver.packets.length > 20, 10_000);
    await expect
      .poll(async () => (await sessions.state(ingressId)).video, { timeout: 8000 })
      .toMatchObject({ width: 640, height: 360 });
    // Hidden: nobody sees a transcoder.
    expect(bridge.sfu.room(internal)!.info().numParticipants).toBe(1);
    bridge.sfu.deleteRoom(internal);
    await sessions.untilStatus(ingressId, Status.ENDPOINT_BUFFERING);
    expect(participant()!.tracks.size).toBe(0);
  }, 40_000);
});
