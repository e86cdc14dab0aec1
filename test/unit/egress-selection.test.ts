/** Which tracks follow a participant or a rule, when they are waited for, and which ear hears them. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { BridgeParticipant, BridgeTrack } from '../../src/bridge/protocol.ts';
import { EgressAborted } from '../../src/egress/errors.ts';
import type { AudioMixingName, EgressSource } from '../../src/egress/plan/types.ts';
import { RoomSource } from '../../src/egress/room/room-source.ts';
import { selectTracks } from '../../src/egress/room/selection.ts';
import { StereoMixing } from '../../src/egress/composition/stereo.ts';
import type { TrackRole } from '../../src/store/types.ts';

function track(trackId: string, source: BridgeTrack['source'], mimeType?: string): BridgeTrack {
  const kind = source === 'microphone' || source === 'screen_share_audio' ? 'audio' : 'video';
  return {
    ...{ trackId, producerId: trackId, kind, source, name: '', muted: false, spatialLayers: 1 },
    mimeType: mimeType ?? (kind === 'audio' ? 'audio/opus' : 'video/H264'),
  };
}

function somebody(
  identity: string,
  tracks: BridgeTrack[],
  kind: BridgeParticipant['kind'] = 'standard',
): BridgeParticipant {
  return { participantId: `PA_${identity}`, identity, name: '', metadata: '', kind, joinedAt: 1, tracks };
}

const camera = track('CAM', 'camera');
const mic = track('MIC', 'microphone');
const screen = track('SCR', 'screen_share');
const screenSound = track('SSA', 'screen_share_audio');
const gina = (...tracks: BridgeTrack[]) => somebody('gina', tracks);
const other = somebody('other', [track('OTHER_MIC', 'microphone'), track('OTHER_CAM', 'camera')]);
const participant = (screenShare = false): EgressSource => ({
  type: 'participant',
  identity: 'gina',
  screenShare,
});

const ids = (source: EgressSource, room: BridgeParticipant[], roles = new Map<string, TrackRole>()) =>
  selectTracks(source, room, roles).map(({ track: { trackId }, channel }) =>
    channel === undefined ? trackId : `${trackId}:${channel}`,
  );

describe('a participant', () => {
  it('is camera and microphone, or the screen with its sound beside the voice', () => {
    const room = [other, gina(camera, mic, screen, screenSound)];
    expect(ids(participant(), room)).toEqual(['MIC', 'CAM']);
    expect(ids(participant(true), room)).toEqual(['MIC', 'SSA', 'SCR']);
  });

  it('is followed from the one to the other', () => {
    expect(ids(participant(), [gina(mic, screen, screenSound)])).toEqual(['MIC', 'SSA', 'SCR']);
    expect(ids(participant(true), [gina(mic, camera)])).toEqual(['MIC', 'CAM']);
    expect(ids(participant(), [other])).toEqual([]);
  });
});

describe('media', () => {
  const media = (
    video: Extract<EgressSource, { type: 'media' }>['video'],
    audio: Extract<EgressSource, { type: 'media' }>['audio'],
  ): EgressSource => ({ type: 'media', video, audio });
  const agent = somebody('bot', [track('BOT', 'microphone')], 'agent');
  const room = [gina(camera, mic), other, agent];

  it('goes where the first rule that fits says; what fits none is left out', () => {
    const routes = [
      { trackId: 'MIC', channel: 'left' as const },
      { kind: 'agent' as const, channel: 'right' as const },
    ];
    expect(ids(media(null, { captureAll: false, routes }), room).sort()).toEqual(['BOT:right', 'MIC:left']);
    expect(ids(media(null, { captureAll: true, routes }), room).sort()).toEqual([
      ...['BOT:right', 'MIC:left', 'OTHER_MIC'],
    ]);
  });

  it('has one picture, a named track also when it was published again', () => {
    expect(ids(media({ trackId: 'CAM' }, null), room)).toEqual(['CAM']);
    expect(ids(media({ identity: 'gina', preferScreenShare: true }, null), [gina(camera, screen)])).toEqual([
      'SCR',
    ]);
    const roles = new Map([['OLD', { identity: 'gina', source: 'camera', kind: 'video' } as const]]);
    expect(ids(media({ trackId: 'OLD' }, null), room, roles)).toEqual(['CAM']);
  });
});

describe('a room on two channels', () => {
  const place = (mixing: StereoMixing, ...participants: BridgeParticipant[]) => {
    const source = { type: 'room', layout: 'grid', audioOnly: true, videoOnly: false } as const;
    const tracks = selectTracks({ ...source, audioMixing: 'default' }, participants, new Map());
    return Object.fromEntries(mixing.place(tracks).map(({ identity, channel }) => [identity, channel]));
  };
  const voice = (identity: string, kind?: BridgeParticipant['kind']) => somebody(identity, [mic], kind);

  it.each<[AudioMixingName, (string | undefined)[]]>([
    ['default', [undefined, undefined, undefined]],
    ['dual-agent', ['right', 'left', 'right']],
    ['dual-alternate', ['left', 'right', 'left']],
  ])('%s', (mixing, expected) => {
    const placed = place(new StereoMixing(mixing), voice('a'), voice('b', 'agent'), voice('c'));
    expect([placed.a, placed.b, placed.c]).toEqual(expected);
  });

  it('moves nobody when somebody leaves, and puts them where they were when they are back', () => {
    const mixing = new StereoMixing('dual-alternate');
    place(mixing, voice('a'), voice('b'));
    expect(place(mixing, voice('b'), voice('c'))).toEqual({ b: 'right', c: 'left' });
    expect(place(mixing, voice('a'), voice('b'), voice('c'))).toEqual({ a: 'left', b: 'right', c: 'left' });
  });
});

describe('who is followed', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function follow(room: BridgeParticipant[], continues = false) {
    const onGone = vi.fn<() => void>();
    const onLeftOut = vi.fn<() => void>();
    const source = new RoomSource({
      ...{ source: participant(), roles: {}, continues, onLeftOut, onGone },
      participants: () => room,
    });
    const become = (...now: BridgeParticipant[]) => {
      room.splice(0, room.length, ...now);
      return source.changed().map(({ track: { trackId } }) => trackId);
    };
    return { source, become, onGone, onLeftOut };
  }

  it('is waited for, and then a moment for the picture beside the sound', async () => {
    const { source, become, onGone } = follow([]);
    const ready = source.ready(() => false);
    // Somebody else comes: that says nothing of whom it waits for.
    become(other);
    await vi.advanceTimersByTimeAsync(25_000);
    become(gina());
    // Who is there may take their time, and connect anew.
    await vi.advanceTimersByTimeAsync(60_000);
    become();
    await vi.advanceTimersByTimeAsync(900);
    become(gina());
    await vi.advanceTimersByTimeAsync(5000);
    become(gina(mic));
    await vi.advanceTimersByTimeAsync(1000);
    become(gina(mic, camera));
    expect((await ready).map(({ track: { trackId } }) => trackId)).toEqual(['MIC', 'CAM']);
    expect(onGone).not.toHaveBeenCalled();
  });

  it('begins with sound alone when no picture comes', async () => {
    const { source } = follow([gina(mic)]);
    const ready = source.ready(() => false);
    await vi.advanceTimersByTimeAsync(2000);
    expect(await ready).toHaveLength(1);
  });

  it.each([
    ['left without having published', true, /left without having published anything/],
    ['did not join', false, /did not join/],
  ])('aborts when they %s', async (_what, came, message) => {
    const { source, become } = follow([]);
    const aborted = expect(source.ready(() => false)).rejects.toSatisfy(
      (error) => error instanceof EgressAborted && message.test(error.message),
    );
    if (came) {
      become(gina());
      await vi.advanceTimersByTimeAsync(1000);
      become();
    }
    await vi.advanceTimersByTimeAsync(30_000);
    await aborted;
  });

  it('is gone when they leave, unless they are back at once; not when they unpublish', async () => {
    const { become, onGone } = follow([gina(camera)]);
    expect(become(gina())).toEqual([]);
    await vi.advanceTimersByTimeAsync(60_000);
    become();
    await vi.advanceTimersByTimeAsync(900);
    expect(become(gina(screen))).toEqual(['SCR']);
    await vi.advanceTimersByTimeAsync(5000);
    expect(onGone).not.toHaveBeenCalled();
    become(other);
    await vi.advanceTimersByTimeAsync(1000);
    expect(onGone).toHaveBeenCalledOnce();
  });

  it('ends an attempt that goes on when they left meanwhile', async () => {
    const { source, onGone } = follow([other], true);
    const ready = source.ready(() => false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await ready).toEqual([]);
    expect(onGone).toHaveBeenCalledOnce();
  });

  it('goes on without a track that nothing here can read', () => {
    const { become, onLeftOut } = follow([]);
    expect(become(gina(track('AV1', 'camera', 'video/AV1'), mic))).toEqual(['MIC']);
    become(gina(track('AV1', 'camera', 'video/AV1'), mic));
    expect(onLeftOut).toHaveBeenCalledOnce();
  });
});
