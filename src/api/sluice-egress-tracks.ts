/** Tracks of a running egress, added and removed. */
import type { JsonObject } from '@bufbuild/protobuf';
import { z } from 'zod';
import { bridgeTrackSource } from '../bridge/view.ts';
import { planOfRecord } from '../egress/plan/plan.ts';
import type { EgressPlan } from '../egress/plan/types.ts';
import { isPage } from '../egress/page-source.ts';
import { assertReadable } from '../egress/program.ts';
import { namedTracks } from '../egress/room/selection.ts';
import type { Sfu } from '../sfu/types.ts';
import type { EgressDesired, EgressRecord, TrackRole } from '../store/types.ts';
import { applied, changeRunning } from './change-running.ts';
import type { RunningOptions } from './change-running.ts';
import { TwirpError } from './errors.ts';
import { egressId } from './sluice-egress-running.ts';
import { messageToJson } from './protojson.ts';

const trackIds = z.array(z.string().min(1, 'name the track')).max(256).default([]);

export const updateTracksSchema = z
  .strictObject({ egress_id: egressId, add_track_ids: trackIds, remove_track_ids: trackIds })
  .refine(({ add_track_ids: add, remove_track_ids: remove }) => add.length + remove.length > 0, {
    path: ['add_track_ids'],
    message: 'name at least one track to add or to remove',
  });

type Request = z.infer<typeof updateTracksSchema>;

export interface TracksOptions extends RunningOptions {
  sfu: Pick<Sfu, 'room'>;
}

const invalid = (why: string) =>
  new TwirpError('invalid_argument', `request has missing or invalid field: add_track_ids: ${why}`);

/** Every track that is in the room, hidden participants' left out. */
function tracksOf(sfu: Pick<Sfu, 'room'>, roomName: string): Map<string, TrackRole & { mimeType: string }> {
  const room = sfu.room(roomName);
  return new Map(
    [...(room?.participants.values() ?? [])]
      .filter(({ permissions }) => !permissions.hidden)
      .flatMap(({ identity, tracks }) =>
        [...tracks.values()].map(({ sid, kind, source, mimeType }) => [
          sid,
          { identity, kind, source: bridgeTrackSource(source), mimeType },
        ]),
      ),
  );
}

/** Which egresses take other tracks than those they began with. @throws TwirpError */
function assertTakesTracks({ source, outputs }: EgressPlan): void {
  const isTrack = outputs.some((output) => output.type === 'file' && output.fileType === 'auto');
  const isSocket = outputs.some((output) => output.type === 'stream' && output.protocol === 'websocket');
  if (!isPage(source) && !isTrack && !isSocket) return;
  const what = isPage(source) ? 'a page has no tracks' : 'it is one track in its own codec';
  throw new TwirpError(
    'failed_precondition',
    `tracks of this egress cannot be changed, ${what}: start a track composite or a room composite`,
  );
}

/** @throws TwirpError all or nothing */
function changed(
  desired: EgressDesired,
  record: EgressRecord,
  request: Request,
  sfu: Pick<Sfu, 'room'>,
): EgressDesired {
  const plan = planOfRecord(record);
  assertTakesTracks(plan);
  const there = tracksOf(sfu, record.roomName);
  const own = namedTracks(plan.source).map(({ trackId }) => trackId);
  const added = new Set(desired.addedTracks);
  const removed = new Set(desired.removedTracks);
  const roles: Record<string, TrackRole> = { ...desired.trackRoles };
  for (const trackId of request.add_track_ids) {
    const track = there.get(trackId);
    if (!track) throw new TwirpError('not_found', `track ${trackId.slice(0, 64)} not found`);
    if (plan[track.kind] === null) {
      const what = track.kind === 'video' ? 'picture' : 'sound';
      throw invalid(`${trackId.slice(0, 64)} is ${track.kind}, and the egress was started without a ${what}`);
    }
    assertReadable(track.mimeType);
    removed.delete(trackId);
    if (plan.source.type !== 'room' && !own.includes(trackId)) added.add(trackId);
    const { identity, kind, source } = track;
    roles[trackId] = { identity, kind, source };
  }
  for (const trackId of request.remove_track_ids) {
    const track = there.get(trackId);
    if (!track && !added.has(trackId) && !own.includes(trackId)) {
      throw new TwirpError('not_found', `track ${trackId.slice(0, 64)} not found`);
    }
    added.delete(trackId);
    removed.add(trackId);
    if (track) roles[trackId] = { identity: track.identity, kind: track.kind, source: track.source };
  }
  const left = [...own.filter((trackId) => !removed.has(trackId)), ...added];
  if (plan.source.type === 'tracks' && left.length === 0) {
    throw new TwirpError('failed_precondition', 'no track would be left: stop the egress with StopEgress');
  }
  return { ...desired, addedTracks: [...added], removedTracks: [...removed], trackRoles: roles };
}

/** @throws TwirpError, EgressError for a codec that cannot be recorded */
export async function updateTracks(options: TracksOptions, request: Request): Promise<JsonObject> {
  const after = await changeRunning(options, request.egress_id, 'given other tracks', (desired, record) =>
    changed(desired, record, request, options.sfu),
  );
  return {
    added_track_ids: after.desired.addedTracks ?? [],
    removed_track_ids: after.desired.removedTracks ?? [],
    egress: messageToJson(await applied(options.store, after)),
  };
}
