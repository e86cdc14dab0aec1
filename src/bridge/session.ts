/** One worker's WebSocket on the SFU's side, from its first message to its end. */
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import type { JoinOptions, LeaveReason, Sfu, SfuParticipant, SfuRoom } from '../sfu/types.ts';
import { BridgeRequestError } from './errors.ts';
import type { Fence } from './fence.ts';
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
/** How long a peer may take to answer a close frame, ms. */
const CLOSE_DEADLINE_MS = 1000;

/** Whom an access token lets in, where, and to do what. */
export type BridgeGrant = JoinOptions & { roomName: string };

export interface SessionParts {
  sfu: Sfu;
  fence: Fence;
  media: MediaAddresses;
  /** Participants that came over the bridge, with their sessions. */
  members: WeakMap<SfuParticipant, BridgeSession>;
  pingIntervalMs: number;
  /** A worker is gone without having left. */
  onLost: (identity: string, roomName: string, attempt: number) => void;
  logger: Logger;
}

const envelopeSchema = z.object({ id: z.number().int().min(0), method: z.string(), params: z.unknown() });

export class BridgeSession {
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

  /** A newer attempt has come. */
  supersede(): void {
    this.#member?.participant.close('superseded');
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
      if (method === 'leave') this.#member?.participant.close('client_left');
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
    if (method === 'leave') return {};
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
    const { roomName, identity } = this.#grant;
    const room = await this.#room();
    if (this.#socket.readyState !== this.#socket.OPEN) {
      throw new BridgeRequestError('not_joined', 'the socket closed before the join was done');
    }
    // From here to the end nothing waits: fence, replacement and join are one step.
    if (!this.#parts.fence.admit(roomName, identity, attempt)) {
      throw new BridgeRequestError(
        'superseded',
        `attempt ${attempt} is over: a newer one has been or is coming`,
      );
    }
    const before = room.participants.get(identity);
    if (before) this.#parts.members.get(before)?.supersede();
    return this.#joined(room.join(this.#grant), attempt);
  }

  /** Somebody who publishes may open a room, as people do; a recorder finds one or not. */
  async #room(): Promise<SfuRoom> {
    const { roomName, permissions } = this.#grant;
    if (!permissions.hidden) return this.#parts.sfu.createRoom({ name: roomName });
    const room = this.#parts.sfu.room(roomName);
    if (!room) throw new BridgeRequestError('not_found', 'requested room does not exist');
    return room;
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
    this.#member?.participant.close('connection_lost');
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
        this.#closeSocket(BridgeCloseCode.superseded, 'a newer attempt has joined');
        break;
      case 'room_deleted':
      case 'node_shutdown':
        this.#send({ event: 'roomClosed' });
        this.#closeSocket(BridgeCloseCode.roomClosed, 'the room has ended');
        break;
      case 'removed':
      case 'duplicate_identity':
        this.#closeSocket(BridgeCloseCode.removed, 'removed from the room');
        break;
      case 'connection_lost':
        this.#parts.fence.lose(roomName, identity, attempt);
        this.#parts.onLost(identity, roomName, attempt);
        break;
    }
    this.#state = 'over';
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

/** Closes with a code; a peer that does not answer is cut off. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  if (socket.readyState === socket.CLOSED) return;
  // A close frame holds 123 bytes of reason (RFC 6455 §5.5).
  socket.close(
    code,
    Buffer.from(reason)
      .subarray(0, 123)
      .toString()
      .replace(/\ufffd$/, ''),
  );
  const deadline = setTimeout(() => socket.terminate(), CLOSE_DEADLINE_MS);
  socket.once('close', () => clearTimeout(deadline));
}

function isMethod(method: string): method is 'join' | 'leave' | MemberMethod {
  return Object.hasOwn(bridgeRequestSchemas, method);
}
