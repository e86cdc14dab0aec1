/** Start* of the Egress service: everything is checked, stored and queued before the answer. */
import { randomInt } from 'node:crypto';
import { TrackCompositeEgressRequest, TrackEgressRequest } from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import { bridgeTrackSource } from '../bridge/view.ts';
import { abortedInfo, initialInfo } from '../egress/info.ts';
import { planEgress } from '../egress/plan/plan.ts';
import type { PlanContext } from '../egress/plan/plan.ts';
import type { EgressPlan } from '../egress/plan/types.ts';
import { isRoomless } from '../egress/page-source.ts';
import { chooseProgram } from '../egress/program.ts';
import { namedTracks } from '../egress/room/selection.ts';
import { storeOptions } from '../egress/request/options.ts';
import type { EgressOptions } from '../egress/request/options.ts';
import { checkSigningKeys } from '../egress/request/webhooks.ts';
import { storeRequest } from '../egress/request/types.ts';
import type { StartRequest } from '../egress/request/types.ts';
import type { Sfu, SfuRoom, SfuTrack } from '../sfu/types.ts';
import type { EgressStore, TrackRole } from '../store/types.ts';
import { AutoEgress } from './auto-egress.ts';
import { withDeadline } from './deadline.ts';
import { completeHls } from './egress-hls.ts';
import type { HlsDefaults } from './egress-hls.ts';
import { TwirpError } from './errors.ts';
import { checkOutbound, checkPlanned, requestUrls } from './outbound-urls.ts';
import type { OutboundRules } from './outbound-urls.ts';
import { ROOM_NOT_FOUND } from './room-service.ts';

/** The part of the egress queue the API needs. Attempts count from 1. */
export interface EgressQueueFace {
  /** Adding an attempt again changes nothing. */
  add(egressId: string, attempt: number): Promise<void>;
  /** False when a worker has it, or it was never there. */
  remove(egressId: string, attempt: number): Promise<boolean>;
}

export interface EgressStartOptions {
  sfu: Pick<Sfu, 'room'>;
  store: Pick<EgressStore, 'create' | 'abortUntaken'>;
  queue: EgressQueueFace;
  /** Where workers reach this node's rooms, e.g. ws://127.0.0.1:7880/bridge. */
  bridgeUrl: () => string;
  /** Why no worker could take it, whatever ends; undefined when one could, or it can wait for one. */
  refusal?: (plan: EgressPlan) => Promise<string | undefined>;
  outbound: OutboundRules;
  /** What the configuration says of HLS; default: nothing, and that files are served. */
  hls?: HlsDefaults;
  /** Names of the API keys a request's webhooks may be signed with. */
  signingKeys: ReadonlySet<string>;
}

const ID_CHARACTERS = '23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** `EG_` and 12 characters that are hard to confuse, as LiveKit's. */
function newEgressId(): string {
  return `EG_${Array.from({ length: 12 }, () => ID_CHARACTERS[randomInt(ID_CHARACTERS.length)]).join('')}`;
}

/** A visible track of the room. @throws TwirpError `not_found` */
function findTrack(room: SfuRoom, trackId: string): { track: SfuTrack; identity: string } {
  for (const { identity, permissions, tracks } of room.participants.values()) {
    const track = permissions.hidden ? undefined : tracks.get(trackId);
    if (track) return { track, identity };
  }
  throw new TwirpError('not_found', `track ${trackId.slice(0, 64)} not found`);
}

/** @throws TwirpError when a named track is not there, or not of the kind it is named as. */
function checkKind(field: string, track: SfuTrack, kind: 'audio' | 'video'): void {
  if (track.kind === kind) return;
  throw new TwirpError(
    'invalid_argument',
    `request has missing or invalid field: ${field}: ${track.sid} is a ${track.kind} track`,
  );
}

/**
 * The tracks a plan names, as they are now; errors are found here rather than by a worker.
 * @returns whose they are, by id; undefined when it names none
 */
function checkTracks(plan: EgressPlan, room: SfuRoom): Record<string, TrackRole> | undefined {
  const named = namedTracks(plan.source).map(({ trackId, kind }) => ({ ...findTrack(room, trackId), kind }));
  if (named.length === 0) return undefined;
  for (const { track, kind } of named) checkKind(`${kind}_track_id`, track, kind);
  const mimeType = (kind: 'audio' | 'video') => named.find((each) => each.kind === kind)?.track.mimeType;
  // Throws for codecs that cannot be recorded, or not into what was asked for.
  chooseProgram(plan, mimeType('video'), mimeType('audio'));
  return Object.fromEntries(
    named.map(({ track: { sid, source }, identity, kind }) => [
      sid,
      { identity, source: bridgeTrackSource(source), kind },
    ]),
  );
}

/**
 * Everything about a request that can be wrong whether or not its room is there.
 * @throws RequestError
 */
export async function checkRequest(
  request: StartRequest,
  { outbound, signingKeys }: Pick<EgressStartOptions, 'outbound' | 'signingKeys'>,
  context: PlanContext,
): Promise<EgressPlan> {
  // What it may name at all, and how much of it, comes before anything is looked up.
  const plan = planEgress(request, context);
  checkSigningKeys(request.webhooks, signingKeys);
  await checkOutbound(requestUrls(request), outbound.policy);
  await checkPlanned(plan, outbound, request instanceof TrackEgressRequest ? 'websocket_url' : 'urls');
  return plan;
}

/**
 * Identifiers of rooms and tracks are checked by the SFU; here only that they are named.
 * @param asked Sluice's own options
 */
export async function startEgress(
  request: StartRequest,
  start: EgressStartOptions,
  logger: Logger,
  asked: EgressOptions = {},
): Promise<EgressInfo> {
  const { sfu, store, queue, bridgeUrl, refusal } = start;
  const egressId = newEgressId();
  // What is wrong with the request itself is said first, whether or not its room is there.
  const alone = await checkRequest(request, start, { egressId, options: asked });
  const options = completeHls(asked, alone, start.hls ?? { choice: {}, servesFiles: true });
  let plan = planEgress(request, { egressId, options });
  const room = isRoomless(plan.source) ? undefined : sfu.room(plan.roomName);
  if (!room && !isRoomless(plan.source)) throw new TwirpError('not_found', ROOM_NOT_FOUND);
  let trackKind: 'audio' | 'video' | undefined;
  if (room && request instanceof TrackEgressRequest) {
    trackKind = findTrack(room, request.trackId).track.kind;
    plan = planEgress(request, { egressId, trackKind, options });
  }
  const trackRoles = room && checkTracks(plan, room);

  const refused = await withDeadline('the list of workers', Promise.resolve(refusal?.(plan)));
  if (refused !== undefined) throw new TwirpError('resource_exhausted', refused);

  const createdAtMs = Date.now();
  const info = initialInfo(request, plan, { roomId: room?.sid ?? '', createdAtMs });
  const abort = () => store.abortUntaken(egressId, abortedInfo(info, Date.now()));
  const streams = plan.outputs.find((output) => output.type === 'stream');
  const log = logger.child({ egressId, room: plan.roomName });
  await withDeadline(
    'the store of egresses',
    store.create({
      egressId,
      roomName: plan.roomName,
      ...storeRequest(request),
      ...storeOptions(options),
      trackKind,
      trackRoles,
      createdAtMs,
      info,
      desired: { revision: 0, streamUrls: streams?.urls ?? [] },
      bridgeUrl: bridgeUrl(),
    }),
    // Nobody was told of it: it must not stay as if it were about to start.
    () => void abort().catch((error: unknown) => log.warn({ err: error }, 'late egress not aborted')),
  );
  try {
    await withDeadline('the queue of egresses', queue.add(egressId, 1));
  } catch (error) {
    await abort().catch((cause: unknown) => log.warn({ err: cause }, 'egress without a job not aborted'));
    throw error;
  }
  log.info(
    {
      request: request.getType().typeName,
      outputs: plan.outputs.map((output) => output.type),
      tracks: request instanceof TrackCompositeEgressRequest ? plan.source : undefined,
    },
    'egress queued',
  );
  return info;
}

/** Auto-egress that starts what a request would start. The caller closes it. */
export function autoEgressOf(start: EgressStartOptions, sfu: Pick<Sfu, 'on'>, logger: Logger): AutoEgress {
  return new AutoEgress({
    ...{ sfu, logger },
    start: (request, log) => startEgress(request, start, log),
    check: (request) => checkRequest(request, start, { egressId: '' }),
  });
}
