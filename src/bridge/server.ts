/** The bridge's server half: workers enter rooms over `GET /bridge`. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ParticipantInfo_Kind } from '@livekit/protocol';
import type { Logger } from 'pino';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { Sfu } from '../sfu/types.ts';
import { Fence } from './fence.ts';
import { HeldSeats } from './held-seats.ts';
import type { MediaAddresses } from './media-address.ts';
import { BridgeCloseCode } from './protocol.ts';
import { closeSocket } from './close-socket.ts';
import type { BridgeGrant } from './entrance.ts';
import { limitMessages } from './message-rate.ts';
import { BridgeSession } from './session.ts';
import type { SessionParts } from './session.ts';

export type { MediaAddresses } from './media-address.ts';
export type { BridgeGrant } from './entrance.ts';

export const BRIDGE_PATH = '/bridge';
const DEFAULT_PING_INTERVAL_MS = 500;
const DEFAULT_SEAT_MS = 15_000;
/** Requests are small. */
const MAX_MESSAGE_BYTES = 256 * 1024;

export interface BridgeOptions {
  sfu: Sfu;
  /**
   * Whom a token lets in; undefined: the request has none. Rejects when it lets nobody in: the reason is logged,
   * the worker is told only that.
   */
  authenticate: (token: string | undefined) => Promise<BridgeGrant>;
  /**
   * A worker that had joined is gone without `leave`, and neither was it superseded or removed nor has its room
   * ended: its job is to be put back into the queue. Called once for each such worker. Rejections are logged.
   * @param kind the participant's: EGRESS, whose identity is the egress's id, or INGRESS, of which only the attempt
   *   says which one it was
   */
  onLost: (
    identity: string,
    roomName: string,
    attempt: number,
    kind: ParticipantInfo_Kind,
  ) => void | Promise<void>;
  /** Addresses of PlainTransports, as the SFU was given them. */
  media: MediaAddresses;
  logger: Logger;
  /** A worker that leaves four pings in a row unanswered is lost. Default 500. */
  pingIntervalMs?: number;
  /** How long an ingress's participant stays in its room without a worker, ms. Default 15,000. */
  seatMs?: number;
}

/** An attempt in a room. */
export interface BridgeSeat {
  identity: string;
  attempt: number;
  kind: ParticipantInfo_Kind;
}

export interface Bridge {
  /** Takes over the WebSocket upgrade of a request for {@link BRIDGE_PATH}; the caller has looked at the path. */
  handleUpgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void;
  /** Whether this attempt's worker is in a room now. */
  isJoined(identity: string, attempt: number): boolean;
  /** Every attempt whose worker is in a room now. */
  seats(): BridgeSeat[];
  /** Ends every session (close code 4002) without calling `onLost`, and takes no new ones. */
  close(): Promise<void>;
}

export function createBridge(options: BridgeOptions): Bridge {
  const { logger, authenticate } = options;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  const sessions = new Set<BridgeSession>();
  let closing = false;
  const parts: SessionParts = {
    sfu: options.sfu,
    fence: new Fence(),
    media: options.media,
    members: new WeakMap(),
    seats: new HeldSeats(options.seatMs ?? DEFAULT_SEAT_MS),
    pingIntervalMs: options.pingIntervalMs ?? DEFAULT_PING_INTERVAL_MS,
    onLost: (identity, roomName, attempt, kind) => {
      if (closing) return;
      void (async () => options.onLost(identity, roomName, attempt, kind))().catch((err: unknown) => {
        logger.error(
          { err, identity, room: roomName, attempt },
          'bridge: a lost worker could not be reported',
        );
      });
    },
    logger,
  };

  const start = (socket: WebSocket, grant: BridgeGrant | undefined, reachedAt: string): void => {
    socket.on('error', () => undefined);
    if (!grant) {
      closeSocket(socket, BridgeCloseCode.refused, 'the access token was refused');
      return;
    }
    limitMessages(socket, () => logger.warn({ identity: grant.identity }, 'bridge: worker says too much'));
    const session = new BridgeSession(socket, grant, reachedAt, parts);
    sessions.add(session);
    socket.once('close', () => sessions.delete(session));
  };

  const upgrade = async (request: IncomingMessage, stream: Duplex, head: Buffer): Promise<void> => {
    // Until the WebSocket has the stream, a reset must not become an uncaught error.
    const ignore = (): void => undefined;
    stream.on('error', ignore);
    let grant: BridgeGrant | undefined;
    try {
      grant = await authenticate(tokenOf(request));
    } catch (err) {
      logger.warn({ err }, 'bridge: access token refused');
    }
    if (stream.destroyed) return;
    if (closing) {
      stream.destroy();
      return;
    }
    stream.off('error', ignore);
    // A refused worker is told by close code, which every WebSocket client shows.
    sockets.handleUpgrade(request, stream, head, (socket) => {
      start(socket, grant, request.socket.localAddress ?? '127.0.0.1');
    });
  };

  return {
    handleUpgrade: (request, stream, head) => void upgrade(request, stream, head),
    isJoined: (identity, attempt) => [...sessions].some((session) => session.isJoined(identity, attempt)),
    seats: () => [...sessions].flatMap(({ seat }) => seat ?? []),
    close: async () => {
      closing = true;
      for (const session of [...sessions]) session.shutDown();
      parts.seats.close();
      const closed = [...sockets.clients].map(
        (socket) => new Promise((resolve) => socket.once('close', resolve)),
      );
      await Promise.all(closed);
      await new Promise((resolve) => sockets.close(resolve));
    },
  };
}

/** From the header, or the query parameter `access_token`. */
function tokenOf(request: IncomingMessage): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return bearer;
  const query = (request.url ?? '').split('?')[1] ?? '';
  return new URLSearchParams(query).get('access_token') ?? undefined;
}
