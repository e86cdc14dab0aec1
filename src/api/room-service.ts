/** LiveKit's RoomService over our rooms. */
import {
  CreateRoomRequest,
  DeleteRoomRequest,
  DeleteRoomResponse,
  ListParticipantsRequest,
  ListParticipantsResponse,
  ListRoomsRequest,
  ListRoomsResponse,
  MuteRoomTrackRequest,
  MuteRoomTrackResponse,
  RemoveParticipantResponse,
  RoomParticipantIdentity,
  UpdateParticipantRequest,
  UpdateRoomMetadataRequest,
} from '@livekit/protocol';
import type { ParticipantInfo, ParticipantPermission, Room, RoomEgress } from '@livekit/protocol';
import type { Logger } from 'pino';
import { requireGrant, requireRoomAdmin } from '../auth/grants.ts';
import type { Permissions, Sfu, SfuParticipant, SfuRoom, SfuTrack } from '../sfu/types.ts';
import type { AutoEgress } from './auto-egress.ts';
import { TwirpError } from './errors.ts';
import { rpc } from './rpc.ts';
import type { RpcContext, RpcService } from './rpc.ts';

export const ROOM_NOT_FOUND = 'requested room does not exist';
const PARTICIPANT_NOT_FOUND = 'participant does not exist';

/** What CreateRoom needs of it. */
type AutoEgressFace = Pick<AutoEgress, 'check' | 'attach'>;

function notImplemented(field: string): TwirpError {
  return new TwirpError('unimplemented', `${field} is not implemented; leave it out`);
}

/** Fields of CreateRoom that would change nothing here are refused, not ignored. */
function refuseUnbuiltFields(request: CreateRoomRequest): void {
  const asks = {
    agents: request.agents.length > 0,
    room_preset: request.roomPreset !== '',
    node_id: request.nodeId !== '',
    tags: Object.keys(request.tags).length > 0,
    min_playout_delay: request.minPlayoutDelay !== 0,
    max_playout_delay: request.maxPlayoutDelay !== 0,
    sync_streams: request.syncStreams,
    replay_enabled: request.replayEnabled,
  };
  for (const [field, asked] of Object.entries(asks)) if (asked) throw notImplemented(field);
}

export class RoomService implements RpcService {
  readonly name = 'RoomService';
  readonly #sfu: Sfu;
  readonly #autoEgress: AutoEgressFace | undefined;

  readonly methods = {
    CreateRoom: rpc(CreateRoomRequest, (request, context) => this.#createRoom(request, context)),
    ListRooms: rpc(ListRoomsRequest, (request, context) => this.#listRooms(request, context)),
    DeleteRoom: rpc(DeleteRoomRequest, (request, context) => this.#deleteRoom(request, context)),
    ListParticipants: rpc(ListParticipantsRequest, (request, context) =>
      this.#listParticipants(request, context),
    ),
    GetParticipant: rpc(RoomParticipantIdentity, (request, context) =>
      this.#getParticipant(request, context),
    ),
    RemoveParticipant: rpc(RoomParticipantIdentity, (request, context) =>
      this.#removeParticipant(request, context),
    ),
    MutePublishedTrack: rpc(MuteRoomTrackRequest, (request, context) => this.#muteTrack(request, context)),
    UpdateParticipant: rpc(UpdateParticipantRequest, (request, context) =>
      this.#updateParticipant(request, context),
    ),
    UpdateRoomMetadata: rpc(UpdateRoomMetadataRequest, (request, context) =>
      this.#updateRoomMetadata(request, context),
    ),
  };

  /** @param autoEgress undefined where no egress can be started: then a room that wants one is refused */
  constructor(sfu: Sfu, autoEgress?: AutoEgressFace) {
    this.#sfu = sfu;
    this.#autoEgress = autoEgress;
  }

  async #createRoom(request: CreateRoomRequest, { claims, logger }: RpcContext): Promise<Room> {
    requireGrant(claims, 'roomCreate');
    refuseUnbuiltFields(request);
    const { name, metadata, emptyTimeout, departureTimeout, maxParticipants, egress } = request;
    if (egress && !this.#autoEgress) throw notImplemented('egress');
    if (egress) await this.#autoEgress?.check(egress, name);
    const isNew = this.#sfu.room(name) === undefined;
    // 0 is proto3's "not set".
    const room = await this.#sfu.createRoom({
      name,
      metadata,
      maxParticipants,
      ...(emptyTimeout > 0 ? { emptyTimeout } : {}),
      ...(departureTimeout > 0 ? { departureTimeout } : {}),
    });
    if (egress && isNew) await this.#record(room, egress, logger);
    logger.info({ room: name }, 'room created');
    return room.info();
  }

  /** A room that cannot be recorded as was asked is not there either. @throws what its egress's start throws */
  async #record(room: SfuRoom, egress: RoomEgress, logger: Logger): Promise<void> {
    try {
      await this.#autoEgress?.attach(room, egress, logger);
    } catch (error) {
      if (!room.closed) this.#sfu.deleteRoom(room.name);
      throw error;
    }
  }

  #listRooms({ names }: ListRoomsRequest, { claims }: RpcContext): ListRoomsResponse {
    requireGrant(claims, 'roomList');
    const wanted = new Set(names);
    const rooms = this.#sfu.rooms().filter((room) => wanted.size === 0 || wanted.has(room.name));
    return new ListRoomsResponse({ rooms: rooms.map((room) => room.info()) });
  }

  #deleteRoom({ room }: DeleteRoomRequest, { claims, logger }: RpcContext): DeleteRoomResponse {
    requireGrant(claims, 'roomCreate');
    this.#room(room);
    this.#sfu.deleteRoom(room);
    logger.info({ room }, 'room deleted');
    return new DeleteRoomResponse();
  }

  /** As LiveKit: a room that is not there has no participants. */
  #listParticipants({ room }: ListParticipantsRequest, { claims }: RpcContext): ListParticipantsResponse {
    requireRoomAdmin(claims, room);
    const participants = [...(this.#sfu.room(room)?.participants.values() ?? [])]
      .filter(({ permissions }) => !permissions.hidden)
      .map((participant) => participant.info());
    return new ListParticipantsResponse({ participants });
  }

  #getParticipant({ room, identity }: RoomParticipantIdentity, { claims }: RpcContext): ParticipantInfo {
    requireRoomAdmin(claims, room);
    const participant = this.#participant(room, identity);
    if (participant.permissions.hidden) throw new TwirpError('not_found', PARTICIPANT_NOT_FOUND);
    return participant.info();
  }

  /** Hidden ones too: this is how somebody ends a recorder that is out of reach. */
  #removeParticipant(
    { room, identity }: RoomParticipantIdentity,
    { claims, logger }: RpcContext,
  ): RemoveParticipantResponse {
    requireRoomAdmin(claims, room);
    this.#participant(room, identity).close('removed');
    logger.info({ room, identity }, 'participant removed');
    return new RemoveParticipantResponse();
  }

  async #muteTrack(
    { room, identity, trackSid, muted }: MuteRoomTrackRequest,
    { claims, logger }: RpcContext,
  ): Promise<MuteRoomTrackResponse> {
    requireRoomAdmin(claims, room);
    const track: SfuTrack | undefined = this.#participant(room, identity).tracks.get(trackSid);
    if (!track) throw new TwirpError('not_found', 'track is not found');
    await track.setMuted(muted);
    logger.info({ room, identity, trackId: trackSid, muted }, 'track muted or unmuted');
    return new MuteRoomTrackResponse({ track: track.info() });
  }

  /** Empty name and metadata stay as they are; attributes are merged, an empty value removes its key. */
  #updateParticipant(request: UpdateParticipantRequest, { claims, logger }: RpcContext): ParticipantInfo {
    const { room, identity, name, metadata, attributes, permission } = request;
    requireRoomAdmin(claims, room);
    const participant = this.#participant(room, identity);
    participant.update({
      ...(name === '' ? {} : { name }),
      ...(metadata === '' ? {} : { metadata }),
      ...(Object.keys(attributes).length === 0 ? {} : { attributes: { ...attributes } }),
      ...(permission ? { permissions: permissionsFrom(permission, participant.permissions) } : {}),
    });
    logger.info({ room, identity }, 'participant updated');
    return participant.info();
  }

  #updateRoomMetadata({ room, metadata }: UpdateRoomMetadataRequest, { claims, logger }: RpcContext): Room {
    requireRoomAdmin(claims, room);
    const found = this.#room(room);
    found.setMetadata(metadata);
    logger.info({ room }, 'room metadata updated');
    return found.info();
  }

  #room(name: string): SfuRoom {
    const room = this.#sfu.room(name);
    if (!room) throw new TwirpError('not_found', ROOM_NOT_FOUND);
    return room;
  }

  #participant(room: string, identity: string): SfuParticipant {
    const participants = this.#sfu.room(room)?.participants.values() ?? [];
    const found = [...participants].find((participant) => participant.identity === identity);
    if (!found) throw new TwirpError('not_found', PARTICIPANT_NOT_FOUND);
    return found;
  }
}

/** What a participant is cannot change while it is in the room; what it may do can. */
function permissionsFrom(permission: ParticipantPermission, current: Permissions): Permissions {
  for (const field of ['hidden', 'recorder'] as const) {
    if (permission[field] !== current[field]) {
      throw new TwirpError(
        'unimplemented',
        `changing permission.${field} is not implemented; it is set by the access token`,
      );
    }
  }
  for (const [field, name] of [
    ['canUpdateMetadata', 'can_update_metadata'],
    ['canSubscribeMetrics', 'can_subscribe_metrics'],
    ['canManageAgentSession', 'can_manage_agent_session'],
    ['agent', 'agent'],
  ] as const) {
    if (permission[field]) throw notImplemented(`permission.${name}`);
  }
  return {
    canPublish: permission.canPublish,
    canSubscribe: permission.canSubscribe,
    canPublishData: permission.canPublishData,
    canPublishSources: [...permission.canPublishSources],
    hidden: current.hidden,
    recorder: current.recorder,
  };
}
