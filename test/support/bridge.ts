/** A bridge on a real HTTP server, before a real SFU, with real access tokens. */
import { createServer } from 'node:http';
import { ParticipantInfo_Kind } from '@livekit/protocol';
import { WebSocket } from 'ws';
import { participantGrant } from '../../src/auth/grants.ts';
import { createAccessToken } from '../../src/auth/token.ts';
import type { TokenGrants } from '../../src/auth/token.ts';
import { TokenVerifier } from '../../src/auth/verify.ts';
import { connectBridge } from '../../src/bridge/client.ts';
import type { BridgeClient } from '../../src/bridge/client.ts';
import type { BridgeEvent } from '../../src/bridge/protocol.ts';
import { createBridge } from '../../src/bridge/server.ts';
import type { Bridge } from '../../src/bridge/server.ts';
import type { SfuNode } from '../../src/sfu/sfu.ts';
import { silentLogger, startSfu } from './sfu.ts';

const KEY = 'devkey';
const SECRET = 'a-secret-of-thirty-two-characters';

interface Profile {
  name?: string;
  metadata?: string;
}

export interface TestBridge {
  sfu: SfuNode;
  bridge: Bridge;
  url: string;
  /** Calls of `onLost`. */
  lost: { identity: string; roomName: string; attempt: number }[];
  /** Of whom, call by call. */
  lostKinds: ParticipantInfo_Kind[];
  token(identity: string, room: string, grants?: TokenGrants, profile?: Profile): Promise<string>;
  /** A hidden recorder, unless `grants` say otherwise. */
  connect(
    identity: string,
    room: string,
    attempt?: number,
    grants?: TokenGrants,
    profile?: Profile,
  ): Promise<BridgeClient>;
  /** A WebSocket of which the test decides what it says. */
  socket(token: string, options?: { autoPong?: boolean }): RawSocket;
  close(): Promise<void>;
}

export async function startBridge(
  pingIntervalMs = 100,
  seatMs?: number,
  onLost?: (identity: string, attempt: number) => Promise<void>,
): Promise<TestBridge> {
  const sfu = await startSfu();
  const server = createServer();
  const lost: TestBridge['lost'] = [];
  const lostKinds: ParticipantInfo_Kind[] = [];
  const verifier = new TokenVerifier({ [KEY]: SECRET });
  const bridge = createBridge({
    sfu,
    authenticate: async (token = '') => participantGrant(await verifier.verify(token)),
    onLost: (identity, roomName, attempt, kind) => {
      lost.push({ identity, roomName, attempt });
      lostKinds.push(kind);
      return onLost?.(identity, attempt);
    },
    media: { listenIp: '127.0.0.1' },
    logger: silentLogger,
    pingIntervalMs,
    ...(seatMs === undefined ? {} : { seatMs }),
  });
  server.on('upgrade', (request, stream, head) => bridge.handleUpgrade(request, stream, head));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const url = `ws://127.0.0.1:${port}/bridge`;
  const clients = new Set<BridgeClient>();
  const sockets = new Set<WebSocket>();

  const token: TestBridge['token'] = (
    identity,
    room,
    grants = { hidden: true, recorder: true },
    profile = {},
  ) =>
    createAccessToken({
      key: KEY,
      secret: SECRET,
      identity,
      ...profile,
      kind: grants.hidden ? ParticipantInfo_Kind.EGRESS : ParticipantInfo_Kind.INGRESS,
      grants: { roomJoin: true, room, ...grants },
    });

  return {
    sfu,
    bridge,
    url,
    lost,
    lostKinds,
    token,
    connect: async (identity, room, attempt = 1, grants, profile) => {
      const client = await connectBridge({
        url,
        token: await token(identity, room, grants, profile),
        attempt,
        logger: silentLogger,
      });
      clients.add(client);
      return client;
    },
    socket: (accessToken, options = {}) => {
      const socket = new WebSocket(`${url}?access_token=${accessToken}`, options);
      sockets.add(socket);
      return new RawSocket(socket);
    },
    close: async () => {
      for (const client of clients) client.close();
      for (const socket of sockets) socket.terminate();
      await bridge.close();
      await sfu.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Sends what the test likes, and keeps what comes. */
export class RawSocket {
  readonly messages: Record<string, unknown>[] = [];
  closed: { code: number; reason: string } | undefined;
  readonly #socket: WebSocket;
  readonly #open: Promise<void>;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('message', (data: Buffer) => {
      this.messages.push(JSON.parse(data.toString()) as Record<string, unknown>);
    });
    socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }));
    this.#open = new Promise((resolve) => socket.once('open', resolve));
  }

  async send(message: object | string | Buffer): Promise<void> {
    await this.#open;
    this.#socket.send(
      typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message),
    );
  }

  terminate(): void {
    this.#socket.terminate();
  }
}

/** Events and the closing of a client. */
export class ClientLog {
  readonly events: BridgeEvent[] = [];
  closed: { code: number; reason: string } | undefined;

  constructor(client: BridgeClient) {
    client.onEvent((event) => this.events.push(event));
    client.onClose((code, reason) => (this.closed = { code, reason }));
  }

  get names(): string[] {
    return this.events.map(({ event }) => event);
  }
}
