/** One worker's WebSocket on the SFU's side, from its first message to its end. */
import { ParticipantInfo_Kind } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import type { LeaveReason, Sfu, SfuParticipant } from '../sfu/types.ts';
import { closeSocket } from './close-socket.ts';
import { enter, roomOf } from './entrance.ts';
import type { BridgeGrant, EntranceParts, Occupant } from './entrance.ts';
import { BridgeRequestError } from './errors.ts';
import { keepsSeat } from './held-seats.ts';
import { startHeartbeat } from './heartbeat.ts';
import { mediaAddress } from './media-address.ts';
import type { MediaAddresses } from './media-address.ts';
import { Member, parseParams } from './member.ts';
import type { MemberMethod } from './member.ts';
import { parseMessage } from './messages.ts';
import { BRIDGE_PROTOCOL_VERSION, BridgeCloseCode, bridgeRequestSchemas } from './protocol.ts';
import type { BridgeJoinResult } from './protocol.ts';
import { errorBody } from './replies.ts';

/** The first message must have come by then, ms. */
const JOIN_DEADLINE_MS = 5000;
const SUPERSEDED = 'a newer attempt has joined';

export interface SessionParts extends EntranceParts {
  sfu: Sfu;
  media: MediaAddresses;
  pingIntervalMs: number;
  /** A worker is gone without having left. */
  onLost: (identity: string, roomName: string, attempt: number, kind: ParticipantInfo_Kind) => void;
  logger: Logger;
}

const envelopeSchema = z.object({ id: z.number().int().min(0), method: z.string(), params: z.unknown() });

export class BridgeSession implements Occupant {
  readonly #socket: WebSocket;
  readonly #grant: BridgeGrant;
  readonly #parts: SessionParts;
  /** This machine's address the worker connected to. */
  readonly #reachedAt: string;
  readonly #joinDeadline: NodeJS.Timeout;
  #logger: Logger;
  #state: 'new' | 'joining' | 'joined' | 'over' = 'new';
  #member: Member | undefined;
  #attempt: number | undefined;

  constructor(socket: WebSocket, grant: BridgeGrant, reachedAt: string, parts: SessionParts) {
    this.#socket = socket;
    this.#grant = grant;
    this.#reachedAt = reachedAt;
    this.#parts = parts;
    this.#logger = parts.logger.child({ identity: grant.identity, room: grant.roomName });
    this.#joinDeadline = setTimeout(
      () => this.#refuse(`no join within ${JOIN_DEADLINE_MS} ms`),
      JOIN_DEADLINE_MS,
    );
    socket.on('message', (data, binary) => this.#message(parseMessage(data, binary)));
    socket.on('error', (err) => this.#logger.warn({ err }, 'bridge: socket failed'));
    socket.on('close', () => this.#gone());
    startHeartbeat(socket, parts.pingIntervalMs, () => {
      this.#logger.warn('bridge: worker does not answer');
      this.#closeSocket(BridgeCloseCode.unresponsive, 'no answer to pings');
      this.#gone();
    });
  }

  isJoined(identity: string, attempt: number): boolean {
    return this.#state === 'joined' && this.#grant.identity === identity && this.#attempt === attempt;
  }

  /** The attempt that is in the room through this socket; undefined when none is. */
  get seat(): { identity: string; attempt: number; kind: ParticipantInfo_Kind } | undefined {
    if (this.#state !== 'joined' || this.#attempt === undefined) return undefined;
    const { identity, kind = ParticipantInfo_Kind.STANDARD } = this.#grant;
    return { identity, attempt: this.#attempt, kind };
  }

  supersede(how: 'replace' | 'take over'): void {
    if (how === 'replace') {
      this.#member?.participant.close('superseded');
      return;
    }
    this.#logger.info('bridge: another attempt takes the seat');
    this.#detach();
    this.#closeSocket(BridgeCloseCode.superseded, SUPERSEDED);
  }

  /** The server ends. */
  shutDown(): void {
    if (this.#member) this.#member.participant.close('node_shutdown');
    else this.#closeSocket(BridgeCloseCode.roomClosed, 'the server is shutting down');
  }

  #message(message: unknown): void {
    if (this.#state === 'over') return;
    const envelope = envelopeSchema.safeParse(message);
    if (this.#state === 'new' && envelope.data?.method !== 'join') {
      this.#refuse('the first message must be a join');
    } else if (envelope.success) {
      void this.#answer(envelope.data);
    } else {
      this.#logger.warn('bridge: worker sent a message that is not of this protocol');
      this.#closeSocket(BridgeCloseCode.protocolError, 'not a request of this protocol');
      this.#gone();
    }
  }

  async #answer({ id, method, params }: z.infer<typeof envelopeSchema>): Promise<void> {
    try {
      this.#send({ id, result: await this.#handle(method, params) });
      if (method === 'leave') this.#leave(parseParams('leave', params).keepSeat);
    } catch (err) {
      const error = errorBody(err, this.#logger);
      this.#logger.debug({ method, code: error.code, reason: error.message }, 'bridge: request failed');
      this.#send({ id, error });
      if (method === 'join' && !this.#member) this.#refuseJoin(error);
    }
  }

  async #handle(method: string, params: unknown): Promise<object> {
    if (!isMethod(method)) throw new BridgeRequestError('invalid', `there is no method "${method}"`);
    if (method === 'join') return this.#join(params);
    if (!this.#member) throw new BridgeRequestError('not_joined', 'join has not been answered yet');
    if (method === 'leave') {
      parseParams('leave', params);
      return {};
    }
    return this.#member.handle(method, params);
  }

  async #join(params: unknown): Promise<BridgeJoinResult> {
    if (this.#state !== 'new') {
      throw new BridgeRequestError('already_joined', 'this socket has joined already');
    }
    this.#state = 'joining';
    clearTimeout(this.#joinDeadline);
    const { version, attempt } = parseParams('join', params);
    if (version !== BRIDGE_PROTOCOL_VERSION) {
      throw new BridgeRequestError(
        'invalid',
        `protocol version ${version} is not spoken here; it must be ${BRIDGE_PROTOCOL_VERSION}`,
      );
    }
    if (this.#grant.attempt !== undefined && attempt !== this.#grant.attempt) {
      throw new BridgeRequestError('not_allowed', `the token is for another attempt than ${attempt}`);
    }
    const room = await roomOf(this.#grant, this.#parts.sfu);
    if (this.#socket.readyState !== this.#socket.OPEN) {
      throw new BridgeRequestError('not_joined', 'the socket closed before the join was done');
    }
    return this.#joined(enter(room, this.#grant, attempt, this.#parts), attempt);
  }

  #joined(participant: SfuParticipant, attempt: number): BridgeJoinResult {
    const { identity, room } = participant;
    this.#state = 'joined';
    this.#attempt = attempt;
    this.#logger = this.#parts.logger.child({ identity, roomId: room.sid, room: room.name, attempt });
    this.#member = new Member(participant, {
      remoteIp: (workerIp) => mediaAddress(workerIp, this.#parts.media, this.#reachedAt),
      send: (event) => this.#send(event),
      onLeft: (reason) => this.#left(reason, attempt),
    });
    this.#parts.members.set(participant, this);
    this.#logger.info('bridge: worker joined');
    return this.#member.joined();
  }

  /** The socket is closed, or as good as. */
  #gone(): void {
    clearTimeout(this.#joinDeadline);
    this.#state = 'over';
    this.#lost();
  }

  /** The worker went without a word. */
  #lost(): void {
    const { participant } = this.#member ?? {};
    if (!participant || participant.closed) return;
    if (!this.#keepSeat(participant)) participant.close('connection_lost');
    else if (this.#attempt !== undefined) {
      const { roomName, identity } = this.#grant;
      this.#parts.onLost(identity, roomName, this.#attempt, participant.kind);
    }
  }

  /** An orderly end, answered already. */
  #leave(keepSeat: boolean): void {
    const { participant } = this.#member ?? {};
    if (!participant || participant.closed) return;
    if (keepSeat && this.#keepSeat(participant)) this.#closeSocket(BridgeCloseCode.left, 'left');
    else participant.close('client_left');
  }

  /** The participant stays without its worker, for the next attempt. False when it is none that does. */
  #keepSeat(participant: SfuParticipant): boolean {
    if (this.#attempt === undefined || !keepsSeat(participant)) return false;
    const { roomName, identity } = this.#grant;
    this.#logger.info('bridge: worker gone, its seat is kept');
    this.#detach();
    this.#parts.fence.lose(roomName, identity, this.#attempt);
    this.#parts.seats.hold(participant);
    return true;
  }

  /** The participant is gone, for whatever reason; called once. */
  #left(reason: LeaveReason, attempt: number): void {
    this.#logger.info({ reason }, 'bridge: worker gone');
    const { identity, roomName } = this.#grant;
    switch (reason) {
      case 'client_left':
        this.#closeSocket(BridgeCloseCode.left, 'left');
        break;
      case 'superseded':
        this.#closeSocket(BridgeCloseCode.superseded, SUPERSEDED);
        break;
      case 'node_shutdown':
      case 'room_deleted':
        this.#roomEnded(reason);
        break;
      case 'removed':
      case 'duplicate_identity':
        this.#closeSocket(BridgeCloseCode.removed, 'removed from the room');
        break;
      case 'connection_lost':
        this.#parts.fence.lose(roomName, identity, attempt);
        this.#parts.onLost(identity, roomName, attempt, this.#grant.kind ?? ParticipantInfo_Kind.STANDARD);
        break;
    }
    this.#state = 'over';
  }

  #roomEnded(reason: 'node_shutdown' | 'room_deleted'): void {
    // An ingress goes on when the server is back: its source is still there.
    if (reason === 'node_shutdown' && this.#grant.kind === ParticipantInfo_Kind.INGRESS) {
      this.#closeSocket(BridgeCloseCode.goingAway, 'the server is shutting down');
      return;
    }
    this.#send({ event: 'roomClosed' });
    this.#closeSocket(BridgeCloseCode.roomClosed, 'the room has ended');
  }

  /** The participant is no longer this worker's. */
  #detach(): void {
    this.#member?.detach();
    this.#member = undefined;
  }

  #refuseJoin(error: { code: string; message: string }): void {
    if (error.code === 'superseded') this.#closeSocket(BridgeCloseCode.superseded, error.message);
    else if (error.code === 'not_found') this.#closeSocket(BridgeCloseCode.roomClosed, error.message);
    else this.#refuse(error.message);
  }

  #refuse(reason: string): void {
    this.#logger.warn({ reason }, 'bridge: join refused');
    this.#closeSocket(BridgeCloseCode.refused, reason);
  }

  #closeSocket(code: number, reason: string): void {
    closeSocket(this.#socket, code, reason);
    this.#state = 'over';
  }

  #send(message: object): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}

function isMethod(method: string): method is 'join' | 'leave' | MemberMethod {
  return Object.hasOwn(bridgeRequestSchemas, method);
}
