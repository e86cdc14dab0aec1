/** A real SFU behind real WHIP and WHEP endpoints, and the page of test/page with the studio's clients. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Fastify from 'fastify';
import { AccessToken } from 'livekit-server-sdk';
import type { VideoGrant } from 'livekit-server-sdk';
import { participantGrant } from '../../src/auth/grants.ts';
import { AuthError } from '../../src/auth/errors.ts';
import { TokenVerifier, tokenFromRequest } from '../../src/auth/verify.ts';
import type { SfuNode } from '../../src/sfu/sfu.ts';
import type { PendingSessions } from '../../src/signaling/pending.ts';
import type { IceServer, SignalingTiming } from '../../src/signaling/types.ts';
import { whepPlugin } from '../../src/signaling/whep.ts';
import { whipPlugin } from '../../src/signaling/whip.ts';
import { silentLogger, startSfu } from './sfu.ts';
import { testPage } from './test-page.ts';

const KEY = 'devkey';
const SECRET = 'a-secret-of-the-tests-32-characters';

const WEB = fileURLToPath(new URL('../../dist/web/', import.meta.url));
const STUDIO = { 'index.html': 'text/html', 'studio.js': 'text/javascript', 'style.css': 'text/css' };

export interface SignalingServer {
  readonly url: string;
  readonly sfu: SfuNode;
  /** May publish and subscribe in `room` unless `grant` says otherwise. */
  token(room: string, identity: string, grant?: VideoGrant, ttl?: string): Promise<string>;
  close(): Promise<void>;
}

export async function startSignaling(
  options: { iceServers?: IceServer[]; timing?: Partial<SignalingTiming>; pending?: PendingSessions } = {},
): Promise<SignalingServer> {
  const sfu = await startSfu();
  const app = Fastify({ forceCloseConnections: true });
  const verifier = new TokenVerifier({ [KEY]: SECRET });
  const signaling = {
    sfu,
    logger: silentLogger,
    iceServers: () => options.iceServers ?? [],
    authenticate: async (request: { headers: { authorization?: string | undefined } }) => {
      const token = tokenFromRequest(request.headers.authorization, new URLSearchParams());
      if (token === undefined) throw new AuthError('unauthenticated', 'no access token');
      return participantGrant(await verifier.verify(token));
    },
    ...(options.pending ? { pending: options.pending } : {}),
    ...(options.timing ? { timing: options.timing } : {}),
  };
  await app.register(whipPlugin, signaling);
  await app.register(whepPlugin, signaling);
  const html = await testPage();
  app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(html));
  for (const [file, type] of Object.entries(STUDIO)) {
    app.get(`/${file}`, async (_request, reply) => reply.type(type).send(await readFile(join(WEB, file))));
  }
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    sfu,
    async token(room, identity, grant = {}, ttl = '10m') {
      const token = new AccessToken(KEY, SECRET, { identity, ttl });
      token.addGrant({ roomJoin: true, room, ...grant });
      return token.toJwt();
    },
    async close() {
      await app.close();
      await sfu.close();
    },
  };
}
