/** Recordings and broadcasts of the local storage over HTTP: `GET /files/<key>`, with ranges. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { AuthError } from '../auth/errors.ts';
import { requireGrant } from '../auth/grants.ts';
import { tokenFromRequest } from '../auth/verify.ts';
import type { TokenVerifier } from '../auth/verify.ts';

export interface FilesOptions {
  /** Folder of the local storage, absolute; it need not exist yet. */
  root: string;
  /** `token`: an access token with `roomRecord`, as header or `access_token`. */
  access: 'public' | 'token';
}

/** By extension; whatever else lies there is shown as bytes, never as a page. */
const TYPES: Readonly<Record<string, string>> = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.ts': 'video/mp2t',
  '.mp4': 'video/mp4',
  '.webm': 'video/webm',
  '.ogg': 'audio/ogg',
  '.json': 'application/json',
};

/** The decoded path of a request below `/files/`, or undefined for one that cannot be a key. */
function keyOf(request: FastifyRequest): string | undefined {
  const [raw = ''] = request.url.slice('/files/'.length).split('?', 1);
  let key: string;
  try {
    key = decodeURIComponent(raw);
  } catch {
    return undefined;
  }
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (key === '' || /[\u0000-\u001f\\]/.test(key)) return undefined;
  // Also hidden files: temporary ones are among them.
  return key.split('/').some((part) => part === '' || part.startsWith('.')) ? undefined : key;
}

/** Whether the file, links followed, lies in the folder. */
async function isInside(root: string, key: string): Promise<boolean> {
  try {
    const [folder, file] = await Promise.all([realpath(root), realpath(path.join(root, key))]);
    return file.startsWith(folder + path.sep);
  } catch {
    return false;
  }
}

export function filesPlugin({ root, access }: FilesOptions, verifier: TokenVerifier): FastifyPluginAsync {
  async function authorise(request: FastifyRequest): Promise<void> {
    if (access === 'public') return;
    const query = new URLSearchParams(request.url.split('?', 2)[1]);
    const token = tokenFromRequest(request.headers.authorization, query);
    if (token === undefined) throw new AuthError('unauthenticated', 'an access token is needed');
    requireGrant(await verifier.verify(token), 'roomRecord');
  }

  async function send(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    await authorise(request);
    const key = keyOf(request);
    if (key === undefined || !(await isInside(root, key))) {
      reply.callNotFound();
      return reply;
    }
    const type = TYPES[path.extname(key).toLowerCase()] ?? 'application/octet-stream';
    void reply
      .header('content-type', type)
      .header('x-content-type-options', 'nosniff')
      // A playlist changes while it is live; a segment or a recording is what it is.
      .header('cache-control', type === TYPES['.m3u8'] ? 'no-cache' : 'public, max-age=3600');
    return reply.sendFile(key, root, { contentType: false, cacheControl: false });
  }

  return async (app: FastifyInstance) => {
    await app.register(fastifyStatic, { root, serve: false, index: false, dotfiles: 'deny' });
    app.get('/files/*', send);
  };
}
