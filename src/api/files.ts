/**
 * Recordings and broadcasts of the local storage over HTTP: `GET /files/<key>`, with ranges; playlists with LL-HLS's
 * delivery directives.
 */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { AuthError } from '../auth/errors.ts';
import { requireGrant } from '../auth/grants.ts';
import { tokenFromRequest } from '../auth/verify.ts';
import type { TokenVerifier } from '../auth/verify.ts';
import { deltaUpdate, isThere, readDirectives } from './live-playlist.ts';
import { LivePlaylists } from './live-playlists.ts';

export interface FilesOptions {
  /** Folder of the local storage, absolute; it need not exist yet. */
  root: string;
  /** `token`: an access token with `roomRecord`, as header or `access_token`. */
  access: 'public' | 'token';
}

/** By extension; whatever else lies there is shown as bytes, never as a page. */
const TYPES: Readonly<Record<string, string>> = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.jpeg': 'image/jpeg',
  '.vtt': 'text/vtt',
  '.ts': 'video/mp2t',
  '.m4s': 'video/mp4',
  '.mp4': 'video/mp4',
  '.webm': 'video/webm',
  '.ogg': 'audio/ogg',
  '.mp3': 'audio/mpeg',
  '.json': 'application/json',
};

/** Of playlists that cannot be had as they were asked for. */
const WHY_NOT = {
  400: 'this segment is more than two behind the last one',
  404: 'not found',
  503: 'the server ends',
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

/** Aborted when the client has gone: nobody waits then. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}

export function filesPlugin({ root, access }: FilesOptions, verifier: TokenVerifier): FastifyPluginAsync {
  const live = new LivePlaylists();

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
    const type = TYPES[path.extname(key ?? '').toLowerCase()] ?? 'application/octet-stream';
    // A part of LL-HLS may be asked for before it is there.
    if (key?.endsWith('.m4s')) await live.part(path.join(root, key), goneSignal(reply));
    if (key === undefined || !(await isInside(root, key))) {
      reply.callNotFound();
      return reply;
    }
    if (type === TYPES['.m3u8'] && request.url.includes('_HLS_')) return sendPlaylist(key, request, reply);
    void reply
      .header('content-type', type)
      .header('x-content-type-options', 'nosniff')
      // A playlist changes while it is live; a segment or a recording is what it is.
      .header('cache-control', type === TYPES['.m3u8'] ? 'no-cache' : 'public, max-age=3600');
    return reply.sendFile(key, root, { contentType: false, cacheControl: false });
  }

  /** Delivery directives of RFC 8216bis, 6.2.5: what is asked for is waited for. */
  async function sendPlaylist(
    key: string,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    let directives: ReturnType<typeof readDirectives>;
    try {
      directives = readDirectives(new URLSearchParams(request.url.split('?', 2)[1]));
    } catch (error) {
      const why = error instanceof RangeError ? error.message : 'unreadable';
      return reply.code(400).type('text/plain').send(why);
    }
    const { wish, skip } = directives;
    const found = await live.get(path.join(root, key), wish, goneSignal(reply));
    if (found.status !== 200) return reply.code(found.status).type('text/plain').send(WHY_NOT[found.status]);
    const { text, end } = found;
    void reply
      .header('content-type', TYPES['.m3u8'])
      .header('x-content-type-options', 'nosniff')
      // What has been waited for is the answer to this URL; its name may be another broadcast's later.
      .header(
        'cache-control',
        wish && end.blocks && isThere(wish, end) ? `public, max-age=${end.targetDuration}` : 'no-cache',
      );
    return reply.send(skip ? deltaUpdate(text) : text);
  }

  return async (app: FastifyInstance) => {
    app.addHook('preClose', async () => live.close());
    await app.register(fastifyStatic, { root, serve: false, index: false, dotfiles: 'deny' });
    app.get('/files/*', send);
  };
}
