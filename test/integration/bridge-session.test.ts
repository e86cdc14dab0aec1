import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { TrackSource } from '@livekit/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { connectBridge } from '../../src/bridge/client.ts';
import { BridgeCloseCode } from '../../src/bridge/protocol.ts';
import { ClientLog, startBridge } from '../support/bridge.ts';
import type { TestBridge } from '../support/bridge.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { silentLogger, sleep, until, visible } from '../support/sfu.ts';

let bridge: TestBridge;
/** The fence remembers names: every test has a room of its own. */
let r: string;
let rooms = 0;
beforeAll(async () => {
  bridge = await startBridge();
});
afterAll(() => bridge.close());
beforeEach(() => {
  r = `room-${++rooms}`;
});
afterEach(() => {
  for (const room of bridge.sfu.rooms()) bridge.sfu.deleteRoom(room.name);
  bridge.lost.length = 0;
});

const join1 = { id: 1, method: 'join', params: { version: 1, attempt: 1 } };

describe('join', () => {
  it('shows the room and who is visible in it', async () => {
    const room = await bridge.sfu.createRoom({ name: r, metadata: 'm' });
    const ann = room.join({ identity: 'ann', name: 'Ann', metadata: 'a', permissions: visible });
    const sender = await RtpSender.video(room, { layers: 3 });
    try {
      const track = ann.publish(sender.producer, { source: TrackSource.SCREEN_SHARE, name: 'screen' });
      await bridge.connect('EG_other', r);
      const client = await bridge.connect('EG_1', r, 2);
      expect(bridge.bridge.isJoined('EG_1', 2)).toBe(true);
      expect(bridge.bridge.isJoined('EG_1', 1)).toBe(false);
      expect(client.joined.room).toEqual({ roomId: room.sid, name: r, metadata: 'm' });
      expect(client.joined.participants).toEqual([
        {
          participantId: ann.sid,
          identity: 'ann',
          name: 'Ann',
          metadata: 'a',
          kind: 'standard',
          joinedAt: ann.joinedAtMs,
          tracks: [
            {
              trackId: track.sid,
              producerId: sender.producer.id,
              kind: 'video',
              source: 'screen_share',
              name: 'screen',
              mimeType: 'video/VP8',
              muted: false,
              spatialLayers: 3,
            },
          ],
        },
      ]);
      expect([...client.participants.keys()]).toEqual([ann.sid]);
      expect(room.info().numParticipants).toBe(1);
      expect(room.info().activeRecording).toBe(true);
    } finally {
      sender.close();
    }
  });

  it('opens a room for a publisher, and not for a recorder', async () => {
    await bridge.connect('IN_1', 'new', 1, { canPublish: true });
    expect(bridge.sfu.room('new')?.info().numParticipants).toBe(1);
    await expect(bridge.connect('EG_1', 'nowhere')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('finds an internal room for whoever is hidden and only listens', async () => {
    const name = `${r}-internal`;
    const room = await bridge.sfu.createRoom({ name, internal: true });
    room.join({ identity: 'publisher', permissions: visible });
    const listener = { hidden: true, canPublish: false, canSubscribe: true };
    const client = await bridge.connect('IN_1-transcoder', name, 1, listener);
    expect(client.joined.room.roomId).toBe(room.sid);
    expect([...client.participants.values()].map(({ identity }) => identity)).toEqual(['publisher']);
    await expect(bridge.connect('IN_2', name, 1, { hidden: true, canPublish: true })).rejects.toMatchObject({
      code: 'not_found',
    });
    // Whoever is seen gets a room of that name that is everybody's.
    const other = await bridge.connect('IN_3', name, 1, { canPublish: true });
    expect(other.joined.room.roomId).not.toBe(room.sid);
    bridge.sfu.deleteInternalRoom(name);
  });

  it.each([
    ['no token', ''],
    ['nonsense', 'not-a-token'],
  ])('is refused with %s', async (_, token) => {
    const attempt = connectBridge({ url: bridge.url, token, attempt: 1, logger: silentLogger });
    await expect(attempt).rejects.toMatchObject({ code: 'closed', closeCode: BridgeCloseCode.refused });
  });

  it('is refused without the right to join', async () => {
    const token = await bridge.token('EG_1', r, { roomJoin: false });
    const socket = bridge.socket(token);
    await until('the refusal', () => socket.closed !== undefined);
    expect(socket.closed).toEqual({ code: BridgeCloseCode.refused, reason: 'the access token was refused' });
  });

  it('must speak the same version', async () => {
    await bridge.sfu.createRoom({ name: r });
    const socket = bridge.socket(await bridge.token('EG_1', r));
    await socket.send({ ...join1, params: { version: 99, attempt: 1 } });
    await until('the refusal', () => socket.closed !== undefined);
    expect(socket.closed?.code).toBe(BridgeCloseCode.refused);
    expect(socket.messages).toEqual([
      { id: 1, error: { code: 'invalid', message: expect.stringContaining('it must be 1') as string } },
    ]);
  });

  it('must come first, and once', async () => {
    await bridge.sfu.createRoom({ name: r });
    const token = await bridge.token('EG_1', r);
    const early = bridge.socket(token);
    await early.send({ id: 1, method: 'leave', params: {} });
    await until('the refusal', () => early.closed !== undefined);
    expect(early.closed?.code).toBe(BridgeCloseCode.refused);

    const twice = bridge.socket(token);
    await twice.send(join1);
    await twice.send({ ...join1, id: 2 });
    await until('both answers', () => twice.messages.length === 2);
    expect(twice.messages[1]).toMatchObject({ id: 2, error: { code: 'already_joined' } });
    expect(twice.closed).toBeUndefined();
  });

  it('fails where there is no bridge', async () => {
    const server = createServer((_, response) => response.writeHead(404).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const url = `ws://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/bridge`;
    const options = { url, token: 'x', attempt: 1, logger: silentLogger };
    await expect(connectBridge(options)).rejects.toThrow(/404/);
    await new Promise((resolve) => server.close(resolve));
    await expect(connectBridge(options)).rejects.toThrow(/ECONNREFUSED/);
  });

  it('is given up when the signal is aborted', async () => {
    await bridge.sfu.createRoom({ name: r });
    const controller = new AbortController();
    const token = await bridge.token('EG_1', r);
    const options = { url: bridge.url, token, attempt: 1, logger: silentLogger, signal: controller.signal };
    const client = await connectBridge(options);
    const log = new ClientLog(client);
    controller.abort();
    await until('the client to close', () => log.closed !== undefined);
    await expect(connectBridge(options)).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('messages', () => {
  it.each([
    ['no JSON', 'hello'],
    ['binary', Buffer.from(JSON.stringify({ id: 2, method: 'leave', params: {} }))],
    ['JSON of another kind', { hello: 1 }],
  ])('that are %s end the session', async (_, message) => {
    await bridge.sfu.createRoom({ name: r });
    const socket = bridge.socket(await bridge.token('EG_1', r));
    await socket.send(join1);
    await until('the join', () => socket.messages.length === 1);
    await socket.send(message);
    await until('the end', () => socket.closed !== undefined);
    expect(socket.closed?.code).toBe(BridgeCloseCode.protocolError);
    expect(bridge.lost).toEqual([{ identity: 'EG_1', roomName: r, attempt: 1 }]);
  });

  it('with wrong parameters are answered with what is wrong', async () => {
    await bridge.sfu.createRoom({ name: r });
    const socket = bridge.socket(await bridge.token('EG_1', r));
    await socket.send(join1);
    await until('the join', () => socket.messages.length === 1);
    const requests: [string, unknown, string, RegExp][] = [
      ['dance', {}, 'invalid', /no method "dance"/],
      ['toString', {}, 'invalid', /no method/],
      ['subscribe', { trackId: 'TR_x', ip: '127.0.0.1', port: 0 }, 'invalid', /port/],
      ['subscribe', { trackId: 'TR_x', ip: 'localhost', port: 5000 }, 'invalid', /must be an IP address/],
      ['subscribe', { trackId: 'TR_x', ip: '192.0.2.1', port: 5000 }, 'invalid', /must be SRTP/],
      ['subscribe', { trackId: 'TR_x', ip: '127.0.0.1', port: 5000 }, 'not_found', /no track TR_x/],
      ['resume', { subscriptionId: 'x' }, 'not_found', /no subscription x/],
      ['unpublish', { publicationId: 'x' }, 'not_found', /no publication x/],
    ];
    for (const [i, [method, params]] of requests.entries()) await socket.send({ id: i + 2, method, params });
    await until('the answers', () => socket.messages.length === requests.length + 1);
    for (const [i, [, , code, message]] of requests.entries()) {
      const reply = socket.messages.find(({ id }) => id === i + 2);
      expect(reply).toMatchObject({ error: { code, message: expect.stringMatching(message) as string } });
    }
    expect(socket.closed).toBeUndefined();
  });

  it('that are too big end the session', async () => {
    await bridge.sfu.createRoom({ name: r });
    const socket = bridge.socket(await bridge.token('EG_1', r));
    await socket.send(join1);
    await until('the join', () => socket.messages.length === 1);
    await socket.send('x'.repeat(300 * 1024));
    await until('the loss', () => bridge.lost.length === 1);
    await until('the end', () => socket.closed !== undefined);
  });
});

describe('events', () => {
  it('keep the picture of the room live', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const client = await bridge.connect('EG_1', r);
    const log = new ClientLog(client);
    const seen: number[] = [];
    client.onEvent(() => seen.push(client.participants.size));
    client.onEvent(() => {
      throw new Error('a bad listener');
    });
    const ann = room.join({ identity: 'ann', permissions: visible });
    const sender = await RtpSender.audio(room);
    try {
      const track = ann.publish(sender.producer, { source: TrackSource.MICROPHONE });
      await until('the track', () => client.participants.get(ann.sid)?.tracks.length === 1);
      await until('ann to speak', () => client.activeSpeakers.join() === 'ann');
      await track.setMuted(true);
      await until('the mute', () => client.participants.get(ann.sid)?.tracks[0]?.muted === true);
      ann.update({ name: 'Ann' });
      await until('the name', () => client.participants.get(ann.sid)?.name === 'Ann');
      room.setMetadata('new');
      bridge.sfu.room(r)!.participants.get('EG_1')!.metadata = '{"layout":"speaker"}';
      track.close();
      await until('no track', () => client.participants.get(ann.sid)?.tracks.length === 0);
      ann.close('client_left');
      await until('an empty room', () => client.participants.size === 0);
    } finally {
      sender.close();
    }
    expect(seen[0]).toBe(1);
    expect(seen.at(-1)).toBe(0);
    const names = log.names.filter((name) => name !== 'activeSpeakers');
    expect(names).toEqual([
      'participantJoined',
      'trackPublished',
      'trackMuted',
      'participantUpdated',
      'roomUpdated',
      'metadataChanged',
      'trackUnpublished',
      'participantLeft',
    ]);
    expect(log.events).toContainEqual({ event: 'metadataChanged', metadata: '{"layout":"speaker"}' });
    expect(log.events).toContainEqual({ event: 'roomUpdated', metadata: 'new' });
  });

  it('of hidden participants are not sent', async () => {
    await bridge.sfu.createRoom({ name: r });
    const client = await bridge.connect('EG_1', r);
    const log = new ClientLog(client);
    const other = await bridge.connect('EG_2', r);
    await other.leave();
    bridge.sfu.room(r)!.setMetadata('marker');
    await until('the marker', () => log.names.includes('roomUpdated'));
    expect(log.names).toEqual(['roomUpdated']);
  });
});

describe('the end', () => {
  it('by leave is orderly', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const client = await bridge.connect('EG_1', r);
    const log = new ClientLog(client);
    await client.leave();
    expect(log.closed?.code).toBe(BridgeCloseCode.left);
    expect(room.participants.size).toBe(0);
    expect(bridge.bridge.isJoined('EG_1', 1)).toBe(false);
    await client.leave();
    await expect(client.request('resume', { subscriptionId: 'x' })).rejects.toMatchObject({ code: 'closed' });
    await sleep(50);
    expect(bridge.lost).toEqual([]);
  });

  it('of the room is told', async () => {
    await bridge.sfu.createRoom({ name: r });
    const log = new ClientLog(await bridge.connect('EG_1', r));
    bridge.sfu.deleteRoom(r);
    await until('the end', () => log.closed !== undefined);
    expect(log.names).toEqual(['roomClosed']);
    expect(log.closed?.code).toBe(BridgeCloseCode.roomClosed);
    expect(bridge.lost).toEqual([]);
  });

  it('by RemoveParticipant is told', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const log = new ClientLog(await bridge.connect('EG_1', r));
    room.participants.get('EG_1')!.close('removed');
    await until('the end', () => log.closed !== undefined);
    expect(log.closed?.code).toBe(BridgeCloseCode.removed);
    expect(bridge.lost).toEqual([]);
  });

  it('of the connection is a lost worker, once', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const client = await bridge.connect('EG_1', r, 3);
    client.close();
    await until('the loss', () => bridge.lost.length > 0);
    await sleep(50);
    expect(bridge.lost).toEqual([{ identity: 'EG_1', roomName: r, attempt: 3 }]);
    expect(room.participants.size).toBe(0);
  });

  it('comes to a worker that answers no pings', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const socket = bridge.socket(await bridge.token('EG_1', r), { autoPong: false });
    await socket.send(join1);
    await until('the join', () => room.participants.size === 1);
    await until('the loss', () => bridge.lost.length > 0, 2000);
    await until('the end', () => socket.closed !== undefined);
    expect(socket.closed?.code).toBe(BridgeCloseCode.unresponsive);
    expect(room.participants.size).toBe(0);
    expect(bridge.lost).toHaveLength(1);
  });

  it('comes to a client whose server falls silent', async () => {
    const server = createServer();
    const silent = new WebSocketServer({ server });
    silent.on('connection', (socket) => {
      socket.on('message', () => {
        const result = {
          room: { roomId: 'RM_1', name: 'r', metadata: '' },
          participantId: 'PA_1',
          participants: [],
          activeSpeakers: [],
        };
        socket.send(JSON.stringify({ id: 1, result }));
        // It arrives with the reply, before anybody can listen.
        socket.send(JSON.stringify({ event: 'roomUpdated', metadata: 'early' }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      const url = `ws://127.0.0.1:${port}/bridge`;
      const client = await connectBridge({
        url,
        token: 'x',
        attempt: 1,
        logger: silentLogger,
        requestTimeoutMs: 200,
      });
      await sleep(50);
      const log = new ClientLog(client);
      expect(log.events).toEqual([{ event: 'roomUpdated', metadata: 'early' }]);
      const started = performance.now();
      await until('the client to give up', () => log.closed !== undefined, 7000);
      expect(performance.now() - started).toBeGreaterThan(4000);
      expect(log.closed?.reason).toMatch(/silent/);
    } finally {
      silent.close();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe('the fence', () => {
  it('closes the older attempt when a newer one joins', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const older = new ClientLog(await bridge.connect('EG_1', r, 1));
    const newer = await bridge.connect('EG_1', r, 2);
    await until('the older one to end', () => older.closed !== undefined);
    expect(older.closed?.code).toBe(BridgeCloseCode.superseded);
    expect(room.participants.get('EG_1')?.sid).toBe(newer.joined.participantId);
    expect(newer.closed).toBe(false);
    await sleep(50);
    expect(bridge.lost).toEqual([]);
  });

  it('refuses an older attempt, and one that was lost', async () => {
    await bridge.sfu.createRoom({ name: r });
    const newer = await bridge.connect('EG_1', r, 5);
    await expect(bridge.connect('EG_1', r, 4)).rejects.toMatchObject({ code: 'superseded' });
    newer.close();
    await until('the loss', () => bridge.lost.length === 1);
    await expect(bridge.connect('EG_1', r, 5)).rejects.toMatchObject({ code: 'superseded' });
    await bridge.connect('EG_1', r, 6);
  });

  it('lets an attempt reconnect that nobody has missed yet', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const half = new ClientLog(await bridge.connect('EG_1', r, 1));
    const again = await bridge.connect('EG_1', r, 1);
    await until('the half-open one to end', () => half.closed !== undefined);
    expect(room.participants.get('EG_1')?.sid).toBe(again.joined.participantId);
    expect(bridge.lost).toEqual([]);
  });

  it('tells apart identities and rooms', async () => {
    await bridge.sfu.createRoom({ name: 'a' });
    await bridge.sfu.createRoom({ name: 'b' });
    await bridge.connect('EG_x', 'a', 9);
    await bridge.connect('EG_x', 'b', 1);
    await bridge.connect('EG_y', 'a', 1);
    expect(bridge.sfu.room('a')!.participants.size).toBe(2);
  });

  it('finds a worker stopped by SIGSTOP lost, and tells it when it goes on', async () => {
    const room = await bridge.sfu.createRoom({ name: r });
    const token = await bridge.token('EG_1', r);
    const script = join(import.meta.dirname, '../support/bridge-worker.ts');
    const worker = spawn(process.execPath, [script, bridge.url, token], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    worker.stdout.on('data', (data: Buffer) => (output += data.toString()));
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    try {
      await until('the worker to join', () => room.participants.size === 1, 20_000);
      worker.kill('SIGSTOP');
      await until('the loss', () => bridge.lost.length === 1);
      await bridge.connect('EG_1', r, 2);
      await sleep(1500);
      worker.kill('SIGCONT');
      await exited;
      expect(output).toContain(`closed ${BridgeCloseCode.unresponsive}`);
      expect(bridge.lost).toHaveLength(1);
      expect(room.participants.size).toBe(1);
    } finally {
      worker.kill('SIGKILL');
    }
  });
});
