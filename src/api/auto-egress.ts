/** Auto-egress: what a CreateRoom wants recorded without being asked again (LiveKit's RoomEgress). */
import {
  DirectFileOutput,
  ParticipantEgressRequest,
  ParticipantInfo_Kind,
  TrackEgressRequest,
} from '@livekit/protocol';
import type { EgressInfo, RoomCompositeEgressRequest, RoomEgress } from '@livekit/protocol';
import type { Logger } from 'pino';
import { invalid } from '../egress/request/errors.ts';
import type { StartRequest } from '../egress/request/types.ts';
import type { Sfu, SfuParticipant, SfuRoom, SfuTrack } from '../sfu/types.ts';

/** Stands for what only the room will tell, while a CreateRoom is checked. */
const SOMEBODY = 'somebody';

export interface AutoEgressOptions {
  sfu: Pick<Sfu, 'on'>;
  /** As if a request for it had come. @throws RequestError or TwirpError */
  start: (request: StartRequest, logger: Logger) => Promise<EgressInfo>;
  /** Everything about a request that can be wrong before its room is there. @throws RequestError */
  check: (request: StartRequest) => Promise<unknown>;
  logger: Logger;
}

interface Wanted {
  egress: RoomEgress;
  roomName: string;
  /** Sids of participants that have published: each has its egress. */
  recorded: Set<string>;
}

/**
 * A room composite starts with the room; a participant's egress when it publishes its first track; a track's when
 * it is published. Agents and what nobody sees are left out, as LiveKit does.
 */
export class AutoEgress {
  readonly #options: AutoEgressOptions;
  /** By the room's sid: a later room of that name is another one. */
  readonly #wanted = new Map<string, Wanted>();
  readonly #detach: () => void;

  constructor(options: AutoEgressOptions) {
    this.#options = options;
    this.#detach = options.sfu.on((event) => {
      if (event.type === 'room_finished') this.#wanted.delete(event.room.sid);
      else if (event.type === 'track_published') this.#published(event.track);
    });
  }

  /** Finds what is wrong with it before the room is created. @throws RequestError, TwirpError */
  async check(egress: RoomEgress, roomName: string): Promise<void> {
    const named = egress.room?.roomName ?? '';
    if (named !== '' && named !== roomName) {
      throw invalid('egress.room.room_name', 'it is the room that is created; leave it out');
    }
    const samples = [
      roomRequest(egress, roomName),
      participantRequest(egress, roomName, SOMEBODY),
      trackRequest(egress, roomName, SOMEBODY),
    ].filter((request) => request !== undefined);
    for (const request of samples) await this.#options.check(request);
  }

  /**
   * From now on it is done for this room; once for a room, whoever asks again.
   * @throws RequestError, TwirpError when the egress of the room itself cannot start
   */
  async attach(room: SfuRoom, egress: RoomEgress, logger: Logger): Promise<void> {
    if (this.#wanted.has(room.sid)) return;
    this.#wanted.set(room.sid, { egress, roomName: room.name, recorded: new Set() });
    const request = roomRequest(egress, room.name);
    if (request) await this.#options.start(request, logger);
  }

  close(): void {
    this.#detach();
    this.#wanted.clear();
  }

  #published(track: SfuTrack): void {
    const { participant } = track;
    const wanted = this.#wanted.get(participant.room.sid);
    if (!wanted || participant.kind === ParticipantInfo_Kind.AGENT) return;
    const { egress, roomName, recorded } = wanted;
    if (!recorded.has(participant.sid)) {
      recorded.add(participant.sid);
      this.#start(participantRequest(egress, roomName, participant.identity), participant);
    }
    this.#start(trackRequest(egress, roomName, track.sid), participant);
  }

  /** Nobody waits for an answer, so what fails is told by the log alone. */
  #start(request: StartRequest | undefined, { identity, room }: SfuParticipant): void {
    if (!request) return;
    const logger = this.#options.logger.child({ room: room.name, participant: identity });
    this.#options.start(request, logger).catch((error: unknown) => {
      logger.error({ err: error, request: request.getType().typeName }, 'auto-egress not started');
    });
  }
}

function roomRequest({ room }: RoomEgress, roomName: string): RoomCompositeEgressRequest | undefined {
  const request = room?.clone();
  if (request) request.roomName = roomName;
  return request;
}

function participantRequest(
  { participant }: RoomEgress,
  roomName: string,
  identity: string,
): ParticipantEgressRequest | undefined {
  if (!participant) return undefined;
  const { options, fileOutputs, segmentOutputs } = participant;
  return new ParticipantEgressRequest({ roomName, identity, options, fileOutputs, segmentOutputs });
}

function trackRequest(
  { tracks }: RoomEgress,
  roomName: string,
  trackId: string,
): TrackEgressRequest | undefined {
  if (!tracks) return undefined;
  const { filepath, disableManifest, output } = tracks;
  const value = new DirectFileOutput({ filepath, disableManifest, output });
  return new TrackEgressRequest({ roomName, trackId, output: { case: 'file', value } });
}
