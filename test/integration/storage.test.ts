import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { get as httpsGet } from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAddressPolicy, proxyAgents } from '../../src/outbound/index.ts';
import { StorageError, createStorage } from '../../src/storage/index.ts';
import type { Storage, StorageConfig } from '../../src/storage/index.ts';
import { proxyUrl } from '../../src/storage/s3-settings.ts';
import { S3Storage } from '../../src/storage/s3.ts';
import type { S3Settings } from '../../src/egress/plan/types.ts';
import { startHttpProxy } from '../support/http-proxy.ts';
import { freePort } from '../support/ports.ts';
import { startSts } from '../support/sts.ts';
import { startSwift } from '../support/swift.ts';
import type { Swift } from '../support/swift.ts';

const MIB = 1024 * 1024;
const logger = pino({ level: 'silent' });
const policy = createAddressPolicy({
  allowNetworks: ['127.0.0.1'],
  setting: 'outbound.allow_networks',
  logger,
});
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let swift: Swift;
let folder: string;
let config: StorageConfig;
const open: Storage[] = [];

beforeAll(async () => {
  swift = await startSwift();
  await swift.createBucket('recordings');
});
afterAll(async () => {
  await swift.stop();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-storage-'));
  config = {
    storage: {
      type: 's3',
      local: { path: join(folder, 'store') },
      s3: {
        bucket: 'recordings',
        region: swift.region,
        endpoint: swift.endpoint,
        accessKey: swift.accessKey,
        secret: swift.secret,
        sessionToken: '',
        forcePathStyle: true,
      },
    },
  };
});
afterEach(async () => {
  for (const storage of open.splice(0)) await storage.close();
  rmSync(folder, { recursive: true, force: true });
});

function opened(storage: Storage): Storage {
  open.push(storage);
  return storage;
}

function file(bytes: number): { path: string; content: Buffer } {
  const content = randomBytes(bytes);
  const path = join(folder, `file-${bytes}`);
  writeFileSync(path, content);
  return { path, content };
}

function s3(over: Partial<S3Settings> = {}): Storage {
  const plain = { metadata: {}, tagging: '', contentDisposition: '' };
  return opened(
    createStorage({ type: 's3', s3: { ...config.storage.s3, ...plain, ...over } }, config, logger, policy),
  );
}

/** What every kind of storage does. */
describe.each([
  {
    kind: 'local',
    create: () => opened(createStorage({ type: 'local' }, config, logger, policy)),
    read: async (key: string): Promise<Uint8Array> => readFileSync(join(config.storage.local.path, key)),
  },
  {
    kind: 's3',
    create: () => opened(createStorage({ type: 'default' }, config, logger, policy)),
    read: (key: string): Promise<Uint8Array> => swift.get('recordings', key),
  },
])('$kind storage', ({ kind, create, read }) => {
  it('keeps a file, whole', async () => {
    const storage = create();
    const { path, content } = file(3 * MIB + 17);
    const stored = await storage.putFile('demo/rec one.mp4', path, { contentType: 'video/mp4' });
    expect(stored).toEqual({
      key: 'demo/rec one.mp4',
      bytes: content.length,
      location: storage.location('demo/rec one.mp4'),
    });
    expect(storage.kind).toBe(kind);
    expect(sha(await read('demo/rec one.mp4'))).toBe(sha(content));
    expect(await storage.size('demo/rec one.mp4')).toBe(content.length);
    expect(readFileSync(path)).toEqual(content);
  });

  it('keeps bytes, and nothing as nothing', async () => {
    const storage = create();
    const playlist = Buffer.from('#EXTM3U\n');
    await storage.putBytes('live/index.m3u8', playlist, {
      contentType: 'application/vnd.apple.mpegurl',
      cacheControl: 'no-store',
    });
    expect(Buffer.from(await read('live/index.m3u8'))).toEqual(playlist);
    await storage.putBytes('live/empty', new Uint8Array(), { contentType: 'text/plain' });
    expect(await storage.size('live/empty')).toBe(0);
    const { path } = file(0);
    expect((await storage.putFile('live/empty-file', path, { contentType: 'text/plain' })).bytes).toBe(0);
    expect(await storage.size('live/empty-file')).toBe(0);
  });

  it('keeps a file of many parts', async () => {
    const storage = create();
    const { path, content } = file(23 * MIB + 5);
    const stored = await storage.putFile('big/rec.mp4', path, {
      contentType: 'video/mp4',
      size: content.length,
    });
    expect(stored.bytes).toBe(content.length);
    expect(await storage.size('big/rec.mp4')).toBe(content.length);
    expect(sha(await read('big/rec.mp4'))).toBe(sha(content));
  });

  it('replaces what was there', async () => {
    const storage = create();
    const { path } = file(2 * MIB);
    await storage.putFile('same', path, { contentType: 'video/mp4' });
    await storage.putBytes('same', Buffer.from('second'), { contentType: 'text/plain' });
    expect(Buffer.from(await read('same')).toString()).toBe('second');
    expect(await storage.size('same')).toBe(6);
  });

  it('deletes, also what is not there', async () => {
    const storage = create();
    await storage.putBytes('gone/soon', Buffer.from('x'), { contentType: 'text/plain' });
    await storage.delete('gone/soon');
    expect(await storage.size('gone/soon')).toBeUndefined();
    await storage.delete('gone/soon');
    expect(await storage.size('never/there')).toBeUndefined();
  });

  it.each(['ünï çødé/a+b&c=d#e?f%.ts', "it's (1) [x]*!.ts", 'dots/...hidden..'])(
    'takes the key %j',
    async (key) => {
      const storage = create();
      await storage.putBytes(key, Buffer.from(key), { contentType: 'video/mp2t' });
      expect(Buffer.from(await read(key)).toString()).toBe(key);
    },
  );

  it.each(['../out', '/abs', 'a/../../out', '', 'a\0b', 'folder/'])('refuses the key %j', async (key) => {
    const storage = create();
    const refused = { name: 'StorageError', blame: 'user', code: 400 };
    await expect(
      storage.putBytes(key, Buffer.from('x'), { contentType: 'text/plain' }),
    ).rejects.toMatchObject(refused);
    await expect(storage.putFile(key, file(1).path, { contentType: 'text/plain' })).rejects.toMatchObject(
      refused,
    );
    await expect(storage.size(key)).rejects.toMatchObject(refused);
    await expect(storage.delete(key)).rejects.toMatchObject(refused);
    expect(() => storage.location(key)).toThrow(StorageError);
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });

  it('says so when the file to put is not there', async () => {
    const storage = create();
    const put = storage.putFile('a', join(folder, 'none'), { contentType: 'video/mp4' });
    await expect(put).rejects.toMatchObject({ name: 'StorageError', blame: 'internal', code: 500 });
    expect(await storage.size('a')).toBeUndefined();
  });

  it('stops when it is told to, and leaves no half object', async () => {
    const storage = create();
    const { path } = file(30 * MIB);
    const early = storage.putFile('aborted', path, { contentType: 'video/mp4', signal: AbortSignal.abort() });
    await expect(early).rejects.toMatchObject({ name: 'AbortError' });
    const controller = new AbortController();
    const put = storage.putFile('aborted', path, { contentType: 'video/mp4', signal: controller.signal });
    setTimeout(() => controller.abort(), 5);
    await expect(put).rejects.toMatchObject({ name: 'AbortError' });
    expect(await storage.size('aborted')).toBeUndefined();
  });

  it('puts many at once', async () => {
    const storage = create();
    const names = Array.from({ length: 30 }, (_, n) => `many/segment_${String(n).padStart(5, '0')}.ts`);
    await Promise.all(
      names.map((name) => storage.putBytes(name, Buffer.from(name), { contentType: 'video/mp2t' })),
    );
    for (const name of names) expect(Buffer.from(await read(name)).toString()).toBe(name);
  });
});

describe('local storage', () => {
  const local = () => opened(createStorage({ type: 'local' }, config, logger, policy));
  const root = () => config.storage.local.path;

  it('shows the path of the file, and touches nothing before something is put', () => {
    const storage = local();
    expect(storage.location('a/b.mp4')).toBe(join(root(), 'a/b.mp4'));
    expect(storage.name).toBe(root());
    expect(existsSync(root())).toBe(false);
  });

  it('is not led out by a symbolic link, to write, look or delete', async () => {
    const outside = join(folder, 'outside');
    mkdirSync(root());
    mkdirSync(outside);
    writeFileSync(join(outside, 'secret'), 'secret');
    symlinkSync(outside, join(root(), 'link'));
    symlinkSync(join(outside, 'secret'), join(root(), 'file-link'));
    const storage = local();
    const refused = { name: 'StorageError', blame: 'user', code: 400 };
    for (const key of ['link/new', 'link/secret', 'link/deep/new']) {
      await expect(
        storage.putBytes(key, Buffer.from('x'), { contentType: 'text/plain' }),
      ).rejects.toMatchObject(refused);
    }
    await expect(storage.size('link/secret')).rejects.toMatchObject(refused);
    expect(await storage.size('file-link')).toBeUndefined();
    await expect(storage.delete('link/secret')).rejects.toMatchObject(refused);
    // A link in the target's place is replaced, not followed.
    await storage.putBytes('file-link', Buffer.from('mine'), { contentType: 'text/plain' });
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret');
    expect(readdirSync(outside)).toEqual(['secret']);
    // A link that stays inside is fine.
    mkdirSync(join(root(), 'real'));
    symlinkSync(join(root(), 'real'), join(root(), 'alias'));
    await storage.putBytes('alias/a', Buffer.from('x'), { contentType: 'text/plain' });
    expect(readFileSync(join(root(), 'real/a'), 'utf8')).toBe('x');
  });

  it('writes nothing outside while a link in its way is turned in and out', async () => {
    const [outside, real] = [join(folder, 'outside'), join(root(), 'real')];
    mkdirSync(join(real, 'b'), { recursive: true });
    mkdirSync(join(outside, 'b'), { recursive: true });
    const storage = local();
    let ended = false;
    const results = { put: 0, refused: 0 };
    const swapping = (async () => {
      for (let i = 0; !ended; i++) {
        symlinkSync(i % 2 === 0 ? real : outside, join(root(), 'next'));
        renameSync(join(root(), 'next'), join(root(), 'a'));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let i = 0; i < 60; i++) {
      await storage.putBytes('a/b/c', Buffer.from('x'), { contentType: 'text/plain' }).then(
        () => results.put++,
        () => results.refused++,
      );
    }
    ended = true;
    await swapping;
    expect(results.put).toBeGreaterThan(0);
    expect(results.refused).toBeGreaterThan(0);
    expect(readdirSync(outside)).toEqual(['b']);
    expect(readdirSync(join(outside, 'b'))).toEqual([]);
  });

  it('never shows a half file to who reads it', async () => {
    const storage = local();
    const sizes = new Set<number>();
    const reading = new AbortController();
    const reader = (async () => {
      while (!reading.signal.aborted) {
        if (existsSync(join(root(), 'x.bin'))) sizes.add(statSync(join(root(), 'x.bin')).size);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const one = file(4 * MIB);
    const two = file(7 * MIB);
    for (let i = 0; i < 5; i++) {
      await storage.putFile('x.bin', one.path, { contentType: 'a/b' });
      await storage.putFile('x.bin', two.path, { contentType: 'a/b' });
    }
    reading.abort();
    await reader;
    expect([...sizes].toSorted((a, b) => a - b)).toEqual([4 * MIB, 7 * MIB]);
    expect(readdirSync(root())).toEqual(['x.bin']);
  });

  it('leaves no temporary file when it fails, and says what was wrong', async () => {
    const storage = local();
    await storage.putBytes('a', Buffer.from('x'), { contentType: 'text/plain' });
    await expect(
      storage.putBytes('a/b', Buffer.from('x'), { contentType: 'text/plain' }),
    ).rejects.toMatchObject({
      message: expect.stringContaining('ENOTDIR') as string,
      blame: 'internal',
    });
    mkdirSync(join(root(), 'dir'));
    await expect(
      storage.putBytes('dir', Buffer.from('x'), { contentType: 'text/plain' }),
    ).rejects.toMatchObject({ blame: 'user' });
    await expect(storage.putFile('c', join(folder, 'none'), { contentType: 'a/b' })).rejects.toThrow(
      StorageError,
    );
    await expect(storage.putBytes('n'.repeat(300), Buffer.from('x'), { contentType: 'a/b' })).rejects.toThrow(
      /ENAMETOOLONG/,
    );
    expect(readdirSync(root()).toSorted()).toEqual(['a', 'dir']);
  });
});

describe('S3 storage', () => {
  it('shows a URL that opens from this machine, and sets what the request asks for', async () => {
    const storage = s3({ metadata: { room: 'demo' }, contentDisposition: 'attachment' });
    const options = { contentType: 'video/mp4', cacheControl: 'no-store' };
    const { location } = await storage.putBytes('with/meta.mp4', Buffer.from('x'), options);
    expect(location).toBe(`${swift.endpoint}/recordings/with/meta.mp4`);
    const head = await swift.head('recordings', 'with/meta.mp4');
    expect(head).toMatchObject({
      ContentType: 'video/mp4',
      ContentDisposition: 'attachment',
      Metadata: { room: 'demo' },
      ContentLength: 1,
    });
  });

  it('sets metadata and disposition (inline by default) of a file of many parts too', async () => {
    const storage = s3({ metadata: { room: 'demo' } });
    await storage.putFile('with/parts.mp4', file(12 * MIB).path, { contentType: 'video/mp4' });
    expect(await swift.head('recordings', 'with/parts.mp4')).toMatchObject({
      ContentType: 'video/mp4',
      ContentDisposition: 'inline',
      Metadata: { room: 'demo' },
    });
  });

  it.each([
    ['a missing bucket', { bucket: 'nowhere' }, 404, 'S3 bucket nowhere does not exist'],
    ['a wrong secret', { secret: 'TOPSECRETBUTWRONG' }, 403, 'S3 bucket recordings denies access'],
    ['an unknown access key', { accessKey: 'TOPSECRET:nobody' }, 403, 'S3 bucket recordings denies access'],
  ])('says what is wrong with %s, at once and without the secret', async (_, over, code, message) => {
    const storage = s3(over);
    const { path } = file(12 * MIB);
    for (const put of [
      () => storage.putFile('a', path, { contentType: 'video/mp4' }),
      () => storage.putBytes('a', Buffer.from('x'), { contentType: 'video/mp4' }),
    ]) {
      const error: unknown = await put().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toMatchObject({ name: 'StorageError', blame: 'user', code });
      expect(String(error)).toContain(message);
      expect(`${String(error)} ${(error as Error).stack} ${JSON.stringify(error)}`).not.toMatch(
        /TOPSECRET|testing/,
      );
    }
    expect(existsSync(path)).toBe(true);
  });

  it('uploads through a store that is killed in the middle and comes back', async () => {
    const storage = s3();
    const { path, content } = file(40 * MIB);
    const names = ['killed/a.mp4', 'killed/b.mp4', 'killed/c.mp4'];
    const puts = Promise.all(names.map((name) => storage.putFile(name, path, { contentType: 'video/mp4' })));
    await new Promise((resolve) => setTimeout(resolve, 150));
    await swift.kill();
    const done = await Promise.race([
      puts.then(() => true),
      new Promise<boolean>((r) => setTimeout(r, 700, false)),
    ]);
    expect(done).toBe(false);
    await swift.restart();
    await puts;
    for (const name of names) {
      expect(await storage.size(name)).toBe(content.length);
      expect(sha(await swift.get('recordings', name))).toBe(sha(content));
    }
  });

  it('gives up on a store that does not come back, and blames it', async () => {
    const port = await freePort();
    const plain = { metadata: {}, tagging: '', contentDisposition: '' };
    const settings = { ...config.storage.s3, ...plain, endpoint: `http://127.0.0.1:${port}` };
    const storage = opened(new S3Storage(settings, logger, 4));
    await expect(storage.putBytes('a', Buffer.from('x'), { contentType: 'a/b' })).rejects.toMatchObject({
      name: 'StorageError',
      blame: 'destination',
      code: 503,
      message: `S3 bucket recordings: 127.0.0.1:${port} cannot be reached (ECONNREFUSED)`,
    });
  });

  it('stops waiting for a store that hangs when it is told to', async () => {
    const sockets: { destroy(): void }[] = [];
    const hanging = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    const { port } = hanging.address() as AddressInfo;
    const storage = s3({ endpoint: `http://127.0.0.1:${port}` });
    const signal = AbortSignal.timeout(300);
    await expect(
      storage.putBytes('a', Buffer.from('x'), { contentType: 'a/b', signal }),
    ).rejects.toMatchObject({
      name: 'AbortError',
    });
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => hanging.close(resolve));
  });
});

describe('an S3 upload with tags', () => {
  const tagging = 'project=demo&kind=a%20b';
  const type = { contentType: 'video/mp4' };

  it('tells them to the store once an object, whole or in parts', async () => {
    const tagged: string[] = [];
    const answers: Readonly<Record<string, string>> = {
      uploads: '<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>',
      uploadId: '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>',
    };
    const store = createHttpServer((request, response) => {
      const { searchParams, pathname } = new URL(request.url ?? '', 'http://store');
      const tags = request.headers['x-amz-tagging'];
      if (tags !== undefined) tagged.push(`${request.method} ${pathname} ${String(tags)}`);
      const key =
        request.method === 'POST' ? Object.keys(answers).find((each) => searchParams.has(each)) : '';
      request.resume().on('end', () => {
        if (request.method === 'HEAD') response.setHeader('content-length', 12 * MIB);
        response.setHeader('etag', '"1"').end(answers[key ?? '']);
      });
    });
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = store.address() as AddressInfo;
      const storage = s3({ endpoint: `http://127.0.0.1:${port}`, tagging });
      await storage.putBytes('small', Buffer.from('x'), type);
      await storage.putFile('parts', file(12 * MIB).path, type);
      expect(tagged).toEqual([`PUT /recordings/small ${tagging}`, `POST /recordings/parts ${tagging}`]);
    } finally {
      store.closeAllConnections();
      await new Promise((resolve) => store.close(resolve));
    }
  });

  it('is refused at once where the store knows no tags', async () => {
    const started = Date.now();
    await expect(s3({ tagging }).putBytes('small', Buffer.from('x'), type)).rejects.toMatchObject({
      ...{ name: 'StorageError', blame: 'user', code: 501 },
    });
    expect(Date.now() - started).toBeLessThan(10_000);
  });
});

describe('an S3 upload with a role', () => {
  const arn = 'arn:aws:iam::123456789012:role/recordings';

  it("is stored with the role's credentials, asked for once and with the external id", async () => {
    const sts = await startSts({
      ...{ accessKey: 'BASE', secret: 'TOPSECRET-base', roleArn: arn, externalId: 'TOPSECRET-id' },
      host: '127.0.0.2',
      credentials: { accessKey: swift.accessKey, secret: swift.secret, sessionToken: 'TOPSECRET-token' },
    });
    try {
      config = { storage: { ...config.storage, stsEndpoint: sts.endpoint } };
      const base = { accessKey: 'BASE', secret: 'TOPSECRET-base' };
      const storage = s3({ ...base, assumeRole: { arn, externalId: 'TOPSECRET-id' } });
      const { path, content } = file(12 * MIB);
      await storage.putFile('role/parts.mp4', path, { contentType: 'video/mp4' });
      await storage.putBytes('role/small.mp4', content.subarray(0, 10), { contentType: 'video/mp4' });
      expect(sha(await swift.get('recordings', 'role/parts.mp4'))).toBe(sha(content));
      expect(sts.given).toEqual([`sluice ${arn}`]);

      // The operator's STS is asked although no request may lead there.
      const named = s3({
        ...{ ...base, endpoint: `${swift.endpoint}/` },
        assumeRole: { arn, externalId: 'TOPSECRET-id' },
      });
      await named.putBytes('role/named', Buffer.from('x'), { contentType: 'a/b' });
      expect(sts.given).toHaveLength(2);

      // Its own credentials alone are nobody's at the bucket.
      await expect(
        s3(base).putBytes('role/x', Buffer.from('x'), { contentType: 'a/b' }),
      ).rejects.toMatchObject({ code: 403 });

      for (const [wrong, code] of [
        [{ ...base, assumeRole: { arn, externalId: 'TOPSECRET-other' } }, 'AccessDenied'],
        [
          { ...base, secret: 'TOPSECRET-wrong', assumeRole: { arn, externalId: 'x' } },
          'SignatureDoesNotMatch',
        ],
      ] as const) {
        const error: unknown = await s3(wrong)
          .putBytes('role/x', Buffer.from('x'), { contentType: 'a/b' })
          .catch((reason: unknown) => reason);
        expect(error).toMatchObject({
          ...{ name: 'StorageError', blame: 'user', code: 403 },
          message: `S3 bucket recordings: the role ${arn} cannot be assumed (${code}, HTTP 403): check the role, its trust and the external id`,
        });
        expect(`${(error as Error).stack} ${JSON.stringify(error)}`).not.toContain('TOPSECRET');
      }
    } finally {
      await sts.close();
    }
  });

  const unreachable = async () => ({
    ...{ ...config.storage.s3, metadata: {}, tagging: '', contentDisposition: '' },
    ...{ stsEndpoint: `http://127.0.0.1:${await freePort()}`, assumeRole: { arn, externalId: '' } },
  });

  it('blames STS when it cannot be reached', async () => {
    const storage = opened(new S3Storage(await unreachable(), logger, 2));
    await expect(storage.putBytes('a', Buffer.from('x'), { contentType: 'a/b' })).rejects.toMatchObject({
      blame: 'destination',
      code: 503,
    });
  });

  it('asks an STS no more that nobody waits for', async () => {
    const storage = new S3Storage(await unreachable(), logger);
    const failed = storage.putBytes('a', Buffer.from('x'), { contentType: 'a/b' }).catch(() => undefined);
    await sleep(150);
    const closed = performance.now();
    await storage.close();
    await failed;
    expect(performance.now() - closed).toBeLessThan(2000);
  });
});

describe('an S3 upload through a proxy', () => {
  const username = 'proxy user';
  const password = 'TOPSECRET:pa/ss';

  it('goes through it and nowhere else', async () => {
    const proxy = await startHttpProxy(username, password);
    try {
      const storage = s3({
        proxy: { url: proxy.url, username, password },
        // Who named the endpoint is not asked about it: the proxy goes there.
        endpoint: swift.endpoint.replace('127.0.0.1', 'localhost'),
      });
      const { path, content } = file(12 * MIB);
      await storage.putFile('proxy/parts.mp4', path, { contentType: 'video/mp4' });
      await storage.putBytes('proxy/small.mp4', content.subarray(0, 10), { contentType: 'video/mp4' });
      expect(sha(await swift.get('recordings', 'proxy/parts.mp4'))).toBe(sha(content));
      const host = swift.endpoint.replace('127.0.0.1', 'localhost');
      const requests = proxy.asked.map(({ what }) => what);
      expect(requests.every((what) => what.split(' ')[1]?.startsWith(`${host}/recordings/proxy/`))).toBe(
        true,
      );
      // Three parts, the beginning, the end, a look, and the small one.
      expect(requests.length).toBeGreaterThanOrEqual(7);
    } finally {
      await proxy.close();
    }
  });

  it('says what is wrong with the proxy, without its password', async () => {
    const proxy = await startHttpProxy(username, password);
    const put = (storage: Storage) =>
      storage.putBytes('a', Buffer.from('x'), { contentType: 'a/b' }).catch((reason: unknown) => reason);
    try {
      const wrong = { url: proxy.url, username, password: 'TOPSECRET-wrong' };
      const refused = await put(s3({ proxy: wrong }));
      expect(refused).toMatchObject({ name: 'StorageError', blame: 'user', code: 407 });
      expect(`${(refused as Error).stack} ${JSON.stringify(refused)}`).not.toContain('TOPSECRET');
      // Only 127.0.0.1 is allowed.
      const inside = await put(s3({ proxy: { url: 'http://127.0.0.2:1', username: '', password: '' } }));
      expect(inside).toMatchObject({ name: 'StorageError', blame: 'user', code: 403 });
      expect(String(inside)).toContain('127.0.0.2');
      expect(proxy.asked).toEqual([]);
    } finally {
      await proxy.close();
    }
  });

  it('tunnels to a store that speaks TLS', async () => {
    const proxy = await startHttpProxy(username, password);
    const agents = proxyAgents(proxyUrl({ url: proxy.url, username, password }), policy);
    try {
      const target = new URL(swift.endpoint);
      // No TLS is spoken by the store here: that the handshake reaches it shows in how it fails.
      const failed = await new Promise<Error>((resolve, reject) => {
        const { port, hostname } = target;
        httpsGet({ host: hostname, port, agent: agents.https }, () => reject(new Error('answered'))).once(
          'error',
          resolve,
        );
      });
      expect(proxy.asked.map(({ what }) => what)).toEqual([`CONNECT ${target.host}`]);
      expect((failed as NodeJS.ErrnoException).code).toMatch(/SSL|ECONNRESET|EPROTO/);
    } finally {
      agents.http.destroy();
      agents.https.destroy();
      await proxy.close();
    }
  });
});
