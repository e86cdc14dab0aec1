import { describe, expect, it } from 'vitest';
import { bridgeReplySchema } from '../../src/bridge/protocol.ts';
import { RoomPicture } from '../../src/bridge/picture.ts';
import type { BridgeParticipant, BridgeTrack } from '../../src/bridge/protocol.ts';

describe('a reply', () => {
  it('is an error or a result, never mixed up', () => {
    const error = { id: 1, error: { code: 'not_found', message: 'm' } };
    expect(bridgeReplySchema.parse(error)).toEqual(error);
    expect(bridgeReplySchema.parse({ id: 1, result: {} })).toEqual({ id: 1, result: {} });
    expect(bridgeReplySchema.safeParse({ event: 'roomClosed' }).success).toBe(false);
  });
});

const track = (trackId: string): BridgeTrack => ({
  trackId,
  producerId: `p-${trackId}`,
  kind: 'audio',
  source: 'microphone',
  name: '',
  mimeType: 'audio/opus',
  muted: false,
  spatialLayers: 1,
});
const ann: BridgeParticipant = {
  participantId: 'PA_ann',
  identity: 'ann',
  name: '',
  metadata: '',
  kind: 'standard',
  joinedAt: 1,
  tracks: [track('TR_1')],
};
const joined = {
  room: { roomId: 'RM_1', name: 'r', metadata: '' },
  participantId: 'PA_me',
  participants: [ann],
  activeSpeakers: ['ann'],
};

describe('the picture of a room', () => {
  it('follows the events, and leaves alone what somebody holds', () => {
    const picture = new RoomPicture(joined);
    const held = picture.participants.get('PA_ann');
    picture.apply({
      event: 'trackPublished',
      participantId: 'PA_ann',
      identity: 'ann',
      track: track('TR_2'),
    });
    picture.apply({ event: 'trackMuted', trackId: 'TR_1', muted: true });
    picture.apply({ event: 'activeSpeakers', identities: [] });
    expect(picture.participants.get('PA_ann')?.tracks).toEqual([
      { ...track('TR_1'), muted: true },
      track('TR_2'),
    ]);
    expect(picture.activeSpeakers).toEqual([]);
    expect(held?.tracks).toEqual([track('TR_1')]);
    picture.apply({ event: 'trackUnpublished', participantId: 'PA_ann', identity: 'ann', trackId: 'TR_1' });
    expect(picture.participants.get('PA_ann')?.tracks).toEqual([track('TR_2')]);
    picture.apply({ event: 'participantLeft', participantId: 'PA_ann', identity: 'ann' });
    expect(picture.participants.size).toBe(0);
  });

  it('takes what it knows already, and what it does not, in its stride', () => {
    const picture = new RoomPicture(joined);
    picture.apply({
      event: 'trackPublished',
      participantId: 'PA_ann',
      identity: 'ann',
      track: track('TR_1'),
    });
    picture.apply({ event: 'participantJoined', participant: ann });
    expect(picture.participants.get('PA_ann')).toEqual(ann);
    picture.apply({ event: 'trackPublished', participantId: 'PA_x', identity: 'x', track: track('TR_9') });
    picture.apply({ event: 'trackMuted', trackId: 'TR_9', muted: true });
    expect(picture.participants.size).toBe(1);
  });
});
