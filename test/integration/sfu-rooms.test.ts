import {
  DisconnectReason,
  ParticipantInfo_Kind,
  ParticipantInfo_State,
  TrackSource,
  TrackType,
} from '@livekit/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SfuNode } from '../../src/sfu/sfu.ts';
import { SfuError } from '../../src/sfu/types.ts';
import type { LeaveReason } from '../../src/sfu/types.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { EventLog, recorder, sleep, startSfu, until, visible } from '../support/sfu.ts';

let sfu: SfuNode;
beforeAll(async () => {
  sfu = await startSfu();
});
afterAll(() => sfu.close());
afterEach(() => {
  for (const room of sfu.rooms()) sfu.deleteRoom(room.name);
});

describe('rooms', () => {
  it('gives two callers of one name the same room', async () => {
    const [a, b] = await Promise.all([sfu.createRoom({ name: 'r' }), sfu.createRoom({ name: 'r' })]);
    expect(a).toBe(b);
    expect(await sfu.createRoom({ name: 'r', metadata: 'later' })).toBe(a);
    expect(a.metadata).toBe('');
    expect(sfu.rooms()).toEqual([a]);
  });

  it('keeps internal rooms apart: found by name alone, heard only inside', async () => {
    const outside = new EventLog(sfu);
    const internal = await sfu.createRoom({ name: 'r', internal: true });
    const inside = new EventLog(internal);
    const listed = await sfu.createRoom({ name: 'r' });
    expect(listed).not.toBe(internal);
    expect(await sfu.createRoom({ name: 'r', internal: true })).toBe(internal);
    expect([sfu.rooms(), sfu.room('r'), sfu.internalRoom('r')]).toEqual([[listed], listed, internal]);
    internal.join({ identity: 'ann', permissions: visible });
    sfu.deleteRoom('r');
    expect([listed.closed, internal.closed]).toEqual([true, false]);
    expect(() => sfu.deleteRoom('r')).toThrow('does not exist');
    sfu.deleteInternalRoom('r');
    sfu.deleteInternalRoom('r');
    expect([internal.closed, sfu.internalRoom('r')]).toEqual([true, undefined]);
    expect(inside.types).toEqual(['participant_joined', 'participant_left', 'room_finished']);
    expect(outside.types).toEqual(['room_started', 'room_finished']);
  });

  it('shows itself as LiveKit does', async () => {
    const room = await sfu.createRoom({ name: 'r', emptyTimeout: 7, maxParticipants: 3, metadata: 'm' });
    const info = room.info();
    expect(info).toMatchObject({
      name: 'r',
      emptyTimeout: 7,
      departureTimeout: 20,
      maxParticipants: 3,
      metadata: 'm',
      numParticipants: 0,
      numPublishers: 0,
      activeRecording: false,
    });
    expect(info.sid).toMatch(/^RM_[0-9A-Za-z]{12}$/);
    expect(Number(info.creationTimeMs)).toBeCloseTo(Date.now(), -4);
    expect(info.enabledCodecs.map(({ mime }) => mime)).toContain('video/H264');
  });

  it.each([
    ['an empty name', { name: '' }, /room name must not be empty/],
    ['a long name', { name: 'x'.repeat(257) }, /257 characters; at most 256/],
    ['control characters', { name: 'a\nb' }, /control characters/],
    ['a negative timeout', { name: 'r', emptyTimeout: -1 }, /empty_timeout/],
    ['a fractional limit', { name: 'r', maxParticipants: 1.5 }, /max_participants/],
    ['too much metadata', { name: 'r', metadata: 'é'.repeat(40_000) }, /80000 bytes/],
  ])('refuses %s', async (_, options, message) => {
    await expect(sfu.createRoom(options)).rejects.toThrow(message);
    await expect(sfu.createRoom(options)).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('deletes a room: everybody leaves, then it is finished', async () => {
    const log = new EventLog(sfu);
    const room = await sfu.createRoom({ name: 'r' });
    const ann = room.join({ identity: 'ann', permissions: visible });
    const reasons: LeaveReason[] = [];
    ann.onClose((reason) => reasons.push(reason));
    room.join(recorder).onClose((reason) => reasons.push(reason));
    sfu.deleteRoom('r');
    expect(reasons).toEqual(['room_deleted', 'room_deleted']);
    expect(log.types).toEqual(['room_started', 'participant_joined', 'participant_left', 'room_finished']);
    expect(ann.info()).toMatchObject({
      state: ParticipantInfo_State.DISCONNECTED,
      disconnectReason: DisconnectReason.ROOM_DELETED,
    });
    expect(room.router.closed).toBe(true);
    expect(sfu.room('r')).toBeUndefined();
    expect(() => sfu.deleteRoom('r')).toThrow(expect.objectContaining({ code: 'not_found' }));
    expect(() => room.join({ identity: 'late', permissions: visible })).toThrow(SfuError);
  });

  it('ends when nobody comes, and not while somebody is there', async () => {
    const log = new EventLog(sfu);
    const room = await sfu.createRoom({ name: 'r', emptyTimeout: 0.2, departureTimeout: 0.4 });
    const ann = room.join({ identity: 'ann', permissions: visible });
    await sleep(500);
    expect(room.closed).toBe(false);
    ann.close('client_left');
    await sleep(250);
    expect(room.closed).toBe(false);
    await until('the departure timeout', () => room.closed, 1000);
    await sfu.createRoom({ name: 'nobody', emptyTimeout: 0.1 });
    await until('the empty timeout', () => sfu.room('nobody') === undefined, 1000);
    expect(log.types.filter((type) => type === 'room_finished')).toHaveLength(2);
  });

  it('does not start the timeout again while somebody stays', async () => {
    const room = await sfu.createRoom({ name: 'r', departureTimeout: 0.1 });
    room.join({ identity: 'ann', permissions: visible });
    room.join({ identity: 'bob', permissions: visible }).close('client_left');
    await sleep(300);
    expect(room.closed).toBe(false);
  });
});

describe('hidden participants', () => {
  it('are not listed, not counted, cause no events and keep no room open', async () => {
    const log = new EventLog(sfu);
    const room = await sfu.createRoom({ name: 'r', maxParticipants: 1, departureTimeout: 0.2 });
    const hidden = room.join(recorder);
    const reasons: LeaveReason[] = [];
    hidden.onClose((reason) => reasons.push(reason));
    const ann = room.join({ identity: 'ann', permissions: visible });
    expect(room.participants.size).toBe(2);
    expect(room.info()).toMatchObject({ numParticipants: 1, activeRecording: true });
    hidden.metadata = '{"layout":"grid"}';
    ann.close('client_left');
    await until('the room to end', () => room.closed, 1000);
    expect(reasons).toEqual(['room_deleted']);
    expect(log.types).toEqual(['room_started', 'participant_joined', 'participant_left', 'room_finished']);
  });

  it('hear of their own changes', async () => {
    const room = await sfu.createRoom({ name: 'r' });
    const hidden = room.join(recorder);
    let metadata = '';
    hidden.onUpdate(() => (metadata = hidden.metadata));
    hidden.metadata = 'new';
    expect(metadata).toBe('new');
  });
});

describe('participants', () => {
  it('with the identity of another one replace it', async () => {
    const room = await sfu.createRoom({ name: 'r', maxParticipants: 1 });
    const log = new EventLog(room);
    const first = room.join({ identity: 'ann', permissions: visible });
    const second = room.join({ identity: 'ann', permissions: visible });
    expect(first.closed).toBe(true);
    expect(second.closed).toBe(false);
    expect(room.participants.get('ann')).toBe(second);
    expect(log.types).toEqual(['participant_joined', 'participant_left', 'participant_joined']);
    expect(log.events[1]).toMatchObject({ participant: first, reason: 'duplicate_identity' });
    // Closing the old one again must not take the new one away.
    first.close('client_left');
    expect(room.participants.get('ann')).toBe(second);
  });

  it('find a full room full', async () => {
    const room = await sfu.createRoom({ name: 'r', maxParticipants: 1 });
    room.join({ identity: 'ann', permissions: visible });
    expect(() => room.join({ identity: 'bob', permissions: visible })).toThrow(
      expect.objectContaining({ code: 'resource_exhausted' }),
    );
  });

  it('are updated, all at once', async () => {
    const room = await sfu.createRoom({ name: 'r' });
    const ann = room.join({ identity: 'ann', attributes: { a: '1', b: '2' }, permissions: visible });
    const log = new EventLog(room);
    ann.update({ name: 'Ann', metadata: 'm', attributes: { a: '', c: '3' } });
    expect(log.types).toEqual(['participant_updated']);
    expect(ann.info()).toMatchObject({
      name: 'Ann',
      metadata: 'm',
      attributes: { b: '2', c: '3' },
      version: 2,
    });
    expect(() => ann.update({ name: 'x\u0000' })).toThrow(SfuError);
    expect(ann.name).toBe('Ann');
  });

  it('that throw in a listener keep nobody else from hearing', async () => {
    const room = await sfu.createRoom({ name: 'r' });
    const off = room.on(() => {
      throw new Error('a bad listener');
    });
    const log = new EventLog(room);
    const ann = room.join({ identity: 'ann', permissions: visible });
    ann.onClose(() => {
      throw new Error('another bad listener');
    });
    let heard = false;
    ann.onClose(() => (heard = true));
    ann.close('client_left');
    off();
    expect(heard).toBe(true);
    expect(log.types).toEqual(['participant_joined', 'participant_left']);
  });
});

describe('tracks', () => {
  it('are published, muted, unmuted and unpublished', async () => {
    const room = await sfu.createRoom({ name: 'r' });
    const ann = room.join({ identity: 'ann', permissions: visible });
    const log = new EventLog(room);
    const sender = await RtpSender.video(room, { layers: 2 });
    try {
      const track = ann.publish(sender.producer, {
        source: TrackSource.CAMERA,
        name: 'cam',
        width: 640,
        height: 360,
      });
      expect(track.sid).toMatch(/^TR_VC[0-9A-Za-z]{12}$/);
      expect(track).toMatchObject({ kind: 'video', mimeType: 'video/VP8', muted: false, spatialLayers: 2 });
      const info = track.info();
      expect(info).toMatchObject({
        type: TrackType.VIDEO,
        name: 'cam',
        source: TrackSource.CAMERA,
        simulcast: true,
        width: 640,
        height: 360,
      });
      expect(info.codecs[0]!.layers.map(({ width, height, ssrc }) => [width, height, ssrc])).toEqual([
        [320, 180, sender.ssrcs[0]],
        [640, 360, sender.ssrcs[1]],
      ]);
      expect(room.info().numPublishers).toBe(1);
      expect(ann.info().isPublisher).toBe(true);
      await track.setMuted(true);
      expect(sender.producer.paused).toBe(true);
      expect(track.info().muted).toBe(true);
      await track.setMuted(true);
      await track.setMuted(false);
      expect(sender.producer.paused).toBe(false);
      sender.close();
      expect(log.types).toEqual(['track_published', 'track_muted', 'track_muted', 'track_unpublished']);
      expect(ann.tracks.size).toBe(0);
    } finally {
      if (!sender.producer.closed) sender.close();
    }
  });

  it('are refused without the right, and closed when it is taken away', async () => {
    const room = await sfu.createRoom({ name: 'r' });
    const ann = room.join({
      identity: 'ann',
      permissions: { ...visible, canPublishSources: [TrackSource.MICROPHONE] },
    });
    const sender = await RtpSender.audio(room);
    try {
      expect(() => ann.publish(sender.producer, { source: TrackSource.SCREEN_SHARE_AUDIO })).toThrow(
        expect.objectContaining({ code: 'permission_denied' }),
      );
      const track = ann.publish(sender.producer, { source: TrackSource.MICROPHONE });
      ann.update({ permissions: { ...visible, canPublish: false, hidden: true } });
      expect(track.producer.closed).toBe(true);
      expect(ann.tracks.size).toBe(0);
      expect(ann.permissions.hidden).toBe(false);
    } finally {
      sender.close();
    }
  });

  it('make their participant a speaker while they are loud', async () => {
    const room = await sfu.createRoom({ name: 'r' });
    const log = new EventLog(room);
    const ann = room.join({ identity: 'ann', permissions: visible });
    const bob = room.join({ identity: 'bob', kind: ParticipantInfo_Kind.AGENT, permissions: visible });
    const loud = await RtpSender.audio(room);
    const quieter = await RtpSender.audio(room);
    try {
      loud.audioLevel = 5;
      quieter.audioLevel = 30;
      ann.publish(quieter.producer, { source: TrackSource.MICROPHONE });
      bob.publish(loud.producer, { source: TrackSource.MICROPHONE });
      await until('both to speak', () => room.activeSpeakers().join() === 'bob,ann');
      loud.audioLevel = 127;
      await until('bob to fall silent', () => room.activeSpeakers().join() === 'ann', 3000);
      ann.close('client_left');
      expect(room.activeSpeakers()).toEqual([]);
      const last = log.events.findLast((event) => event.type === 'active_speakers');
      expect(last).toMatchObject({ identities: [] });
    } finally {
      loud.close();
      quieter.close();
    }
  });
});

describe('a mediasoup worker that dies', () => {
  it('ends its rooms, and is replaced', async () => {
    const node = await startSfu(2);
    try {
      const log = new EventLog(node);
      const [a, b] = [await node.createRoom({ name: 'a' }), await node.createRoom({ name: 'b' })];
      const ann = a.join({ identity: 'ann', permissions: visible });
      const reasons: LeaveReason[] = [];
      ann.onClose((reason) => reasons.push(reason));
      const [victim] = node.workerPids;
      process.kill(victim!, 'SIGKILL');
      await until('the room to end', () => a.closed || b.closed);
      expect([a.closed, b.closed]).toEqual([true, false]);
      expect(reasons).toEqual(['node_shutdown']);
      expect(log.types.slice(-2)).toEqual(['participant_left', 'room_finished']);
      await until('a new worker', () => node.workerPids.length === 2);
      expect(node.workerPids).not.toContain(victim);
      const again = await node.createRoom({ name: 'a' });
      const transport = await again.createWebRtcTransport();
      expect(transport.iceCandidates.map(({ protocol }) => protocol).sort()).toEqual(['tcp', 'udp']);
    } finally {
      await node.close();
    }
  });
});

describe('a port in use', () => {
  it('is named by the error', async () => {
    const busy = sfu;
    const room = await busy.createRoom({ name: 'r' });
    const { port } = (await room.createWebRtcTransport()).iceCandidates[0]!;
    const { createSfu } = await import('../../src/sfu/sfu.ts');
    const { silentLogger } = await import('../support/sfu.ts');
    await expect(
      createSfu({
        logger: silentLogger,
        rtc: {
          udpPort: port,
          tcpPort: port,
          host: '127.0.0.1',
          plainPortRange: { min: 40000, max: 49999 },
          workers: 1,
          plainListenIp: '127.0.0.1',
        },
      }),
    ).rejects.toThrow(`UDP port ${port}`);
  });
});
