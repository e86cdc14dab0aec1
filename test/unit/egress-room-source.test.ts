/** Which tracks an egress waits for, and what it does when they stay away. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { BridgeParticipant } from '../../src/bridge/protocol.ts';
import { EgressAborted } from '../../src/egress/errors.ts';
import { RoomSource } from '../../src/egress/room/room-source.ts';
import type { RoomSourceOptions } from '../../src/egress/room/room-source.ts';

const GRACE_MS = 10_000;
const role = { identity: 'guest', source: 'camera', kind: 'video' } as const;

function guestWith(trackId: string): BridgeParticipant {
  return {
    ...{ participantId: 'PA_2', identity: 'guest', name: '', metadata: '', kind: 'standard', joinedAt: 1 },
    tracks: [
      {
        ...{ trackId, producerId: trackId, kind: 'video', source: 'camera', name: '' },
        ...{ mimeType: 'video/H264', muted: false, spatialLayers: 1 },
      },
    ],
  };
}

function sourceOf(participants: BridgeParticipant[], change: Partial<RoomSourceOptions> = {}) {
  const onGone = vi.fn<() => void>();
  const source = new RoomSource({
    source: { type: 'tracks', audioTrackId: undefined, videoTrackId: 'TR_OLD' },
    roles: { TR_OLD: role },
    continues: false,
    participants: () => participants,
    onLeftOut: () => undefined,
    onGone,
    ...change,
  });
  return { source, onGone };
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('an attempt that begins when a named track has been republished', () => {
  it('knows it by whose it was', async () => {
    const { source } = sourceOf([guestWith('TR_NEW')], { continues: true });
    const wanted = await source.ready(() => false);
    expect(wanted.map(({ track }) => track.trackId)).toEqual(['TR_NEW']);
  });

  it('waits for it while its publisher is away', async () => {
    const room: BridgeParticipant[] = [];
    const { source } = sourceOf(room, { continues: true });
    const ready = source.ready(() => false);
    await vi.advanceTimersByTimeAsync(GRACE_MS - 1000);
    room.push(guestWith('TR_NEW'));
    source.changed();
    expect((await ready).map(({ track }) => track.trackId)).toEqual(['TR_NEW']);
  });
});

describe('tracks that are added and removed', () => {
  const hostWith = (trackId: string): BridgeParticipant => {
    const guest = guestWith(trackId);
    return { ...guest, participantId: 'PA_3', identity: 'host', joinedAt: 2 };
  };
  const ids = (source: RoomSource) => source.select().map(({ track }) => track.trackId);
  const wish = { revision: 1, streamUrls: [] };

  it('come beside those of the request, and are known again when they are republished', () => {
    const room = [guestWith('TR_OLD'), hostWith('TR_HOST')];
    const { source } = sourceOf(room);
    const trackRoles = { TR_HOST: { ...role, identity: 'host' } };
    expect(ids(source)).toEqual(['TR_OLD']);
    source.setTracks({ ...wish, addedTracks: ['TR_HOST'], trackRoles });
    expect(ids(source)).toEqual(['TR_OLD', 'TR_HOST']);
    room[1] = hostWith('TR_HOST_2');
    expect(ids(source)).toEqual(['TR_OLD', 'TR_HOST_2']);
    source.setTracks({ ...wish, addedTracks: ['TR_HOST'], removedTracks: ['TR_OLD'], trackRoles });
    expect(ids(source)).toEqual(['TR_HOST_2']);
  });

  it('are left out of a room, also republished', () => {
    const room = [guestWith('TR_OLD'), hostWith('TR_HOST')];
    const { source } = sourceOf(room, {
      source: { type: 'room', layout: 'grid', audioOnly: false, videoOnly: false, audioMixing: 'default' },
    });
    source.setTracks({ ...wish, removedTracks: ['TR_OLD'], trackRoles: { TR_OLD: role } });
    expect(ids(source)).toEqual(['TR_HOST']);
    room[0] = guestWith('TR_NEW');
    expect(ids(source)).toEqual(['TR_HOST']);
    source.setTracks(wish);
    expect(ids(source)).toEqual(['TR_NEW', 'TR_HOST']);
  });

  it('let an attempt begin with what is left', async () => {
    const { source } = sourceOf([hostWith('TR_HOST')]);
    source.setTracks({
      ...{ ...wish, addedTracks: ['TR_HOST'], removedTracks: ['TR_OLD'] },
      trackRoles: { TR_HOST: { ...role, identity: 'host' } },
    });
    expect(await source.ready(() => false)).toHaveLength(1);
  });
});

describe('a named track that does not come', () => {
  it('is the end of a recording that had it before', async () => {
    const { source, onGone } = sourceOf([], { continues: true });
    const ready = source.ready(() => false);
    await vi.advanceTimersByTimeAsync(GRACE_MS);
    expect(await ready).toEqual([]);
    expect(onGone).toHaveBeenCalledOnce();
  });

  it('fails one that never had it', async () => {
    const { source, onGone } = sourceOf([]);
    const ready = source.ready(() => false);
    const failed = expect(ready).rejects.toThrow(EgressAborted);
    await vi.advanceTimersByTimeAsync(GRACE_MS);
    await failed;
    expect(onGone).not.toHaveBeenCalled();
  });
});
