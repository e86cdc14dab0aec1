import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGuard, GuardError } from '../../src/outbound/index.ts';

const logger = pino({ level: 'silent' });
const guard = createGuard({ allowNetworks: [], fileRoots: [], logger });
const refusal = async (work: Promise<unknown>): Promise<string> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(GuardError);
  return (error as GuardError).message;
};

describe('addresses', () => {
  test.each([
    ['127.0.0.1', '127.0.0.0/8'],
    ['127.1', '127.0.0.0/8'],
    ['2130706433', '127.0.0.0/8'],
    ['0x7f.1', '127.0.0.0/8'],
    ['0177.0.0.1', '127.0.0.0/8'],
    ['0x7f000001', '127.0.0.0/8'],
    ['１２７.0.0.1', '127.0.0.0/8'],
    ['127.0.0.1.', '127.0.0.0/8'],
    ['localhost', 'loopback'],
    ['0', '0.0.0.0/8'],
    ['10.1.2.3', '10.0.0.0/8'],
    ['172.31.255.255', '172.16.0.0/12'],
    ['192.168.0.7', '192.168.0.0/16'],
    ['100.64.0.1', '100.64.0.0/10'],
    ['100.127.255.254', '100.64.0.0/10'],
    ['169.254.169.254', '169.254.0.0/16'],
    ['224.0.0.1', '224.0.0.0/4'],
    ['255.255.255.255', '240.0.0.0/4'],
    ['[::1]', '::1/128'],
    ['[::]', '::/128'],
    ['[0:0:0:0:0:0:0:1]', '::1/128'],
    ['[::ffff:127.0.0.1]', '127.0.0.0/8'],
    ['[::ffff:7f00:1]', '127.0.0.0/8'],
    ['[::ffff:a9fe:a9fe]', '169.254.0.0/16'],
    ['[::127.0.0.1]', '::/96'],
    ['[64:ff9b::7f00:1]', '64:ff9b::/96'],
    ['[2002:7f00:1::]', '2002::/16'],
    ['[fe80::1]', 'fe80::/10'],
    ['[fd12::1]', 'fc00::/7'],
    ['[fd00:ec2::254]', 'fc00::/7'],
    ['[ff02::1]', 'ff00::/8'],
  ])('%s is refused', async (host, network) => {
    for (const scheme of ['http', 'https', 'rtsp', 'rtsps', 'srt']) {
      const message = await refusal(guard.check(`${scheme}://${host}:8000/path`));
      expect(message).toContain(network);
      expect(message).toContain('ingress.allow_networks');
    }
  });

  test.each([
    '93.184.215.14',
    '172.32.0.1',
    '172.15.255.255',
    '100.128.0.1',
    '11.0.0.1',
    '[2606:4700::1111]',
  ])('%s is allowed', async (host) => {
    await guard.check(`rtsp://user:pass@${host}:554/stream`);
    await expect(guard.resolve(host)).resolves.toBe(host.replace(/[[\]]/g, ''));
  });

  test('networks that are listed are allowed, and only they', async () => {
    const home = createGuard({
      allowNetworks: ['192.168.1.0/24', '127.0.0.1', 'fd00::/8'],
      fileRoots: [],
      logger,
    });
    await expect(home.resolve('192.168.1.77')).resolves.toBe('192.168.1.77');
    await expect(home.resolve('0x7f.1')).resolves.toBe('127.0.0.1');
    await expect(home.resolve('::ffff:192.168.1.5')).resolves.toBe('192.168.1.5');
    await expect(home.resolve('[fd00::5]')).resolves.toBe('fd00::5');
    await refusal(home.resolve('192.168.2.1'));
    await refusal(home.resolve('127.0.0.2'));
    await refusal(home.resolve('[fc00::5]'));
  });

  test('what is no network is told at once', () => {
    expect(() => createGuard({ allowNetworks: ['cameras'], fileRoots: [], logger })).toThrow(/cameras/);
  });

  test('a name that is not known may be known later', async () => {
    const error: unknown = await guard.resolve('nobody.invalid').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(GuardError);
    expect((error as GuardError).retry).toBe(true);
  });

  test.each([
    'gopher://example.com/',
    'concat:http://a/|http://b/',
    'tcp://1.1.1.1:80',
    'rtmp://1.1.1.1/live',
    'data:,x',
  ])('the scheme of %s is refused', async (url) => {
    expect(await refusal(guard.check(url))).toContain('cannot be pulled');
  });

  test('a URL that cannot be read, or has no host, is refused', async () => {
    await refusal(guard.check('rtsp://'));
    await refusal(guard.check('not a url'));
    await refusal(guard.check('http://user:secret@256.256.256.256/')).then((message) =>
      expect(message).not.toContain('secret'),
    );
  });

  test('an SRT listener reaches nobody', async () => {
    await guard.check('srt://:9000?mode=listener');
    await guard.check('srt://0.0.0.0:9000?mode=listener&streamid=x');
    await refusal(guard.check('srt://0.0.0.0:9000'));
  });
});

describe('files', () => {
  let folder = '';
  let files: ReturnType<typeof createGuard>;
  const url = (...path: string[]): string => pathToFileURL(join(folder, ...path)).href;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-guard-'));
    await mkdir(join(folder, 'media', 'sub'), { recursive: true });
    await mkdir(join(folder, 'media-not'));
    await writeFile(join(folder, 'media', 'a b.mp4'), 'media');
    await writeFile(join(folder, 'media-not', 'a.mp4'), 'other');
    await symlink(join(folder, 'media-not', 'a.mp4'), join(folder, 'media', 'away.mp4'));
    await symlink(join(folder, 'media-not'), join(folder, 'media', 'away'));
    await symlink(join(folder, 'media', 'a b.mp4'), join(folder, 'media', 'sub', 'within.mp4'));
    execFileSync('mkfifo', [join(folder, 'media', 'fifo')]);
    files = createGuard({ allowNetworks: [], fileRoots: [join(folder, 'media')], logger });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('a file inside is opened, also through a link that stays inside', async () => {
    for (const path of [
      url('media', 'a b.mp4'),
      `${url('media', 'a b.mp4')}#loop`,
      url('media', 'sub', 'within.mp4'),
    ]) {
      await files.check(path);
      const file = await files.openFile(path);
      expect(await file.readFile('utf8')).toBe('media');
      await file.close();
    }
  });

  test.each([
    ['a neighbour with the same beginning', ['media-not', 'a.mp4']],
    ['a link that leads out', ['media', 'away.mp4']],
    ['a folder that leads out', ['media', 'away', 'a.mp4']],
    ['what is not there, elsewhere', ['nothing']],
  ])('%s is refused', async (_what, path) => {
    expect(await refusal(files.check(url(...path)))).toContain('ingress.file_roots');
  });

  test('dots, folders, FIFOs, other hosts and what is not there are refused', async () => {
    await refusal(files.check(`${url('media')}/../media-not/a.mp4`));
    await refusal(files.check(`${url('media')}/%2e%2e/media-not/a.mp4`));
    await refusal(files.check(`${url('media')}/..%2fmedia-not/a.mp4`));
    expect(await refusal(files.check(url('media', 'sub')))).toContain('regular file');
    expect(await refusal(files.check(url('media', 'fifo')))).toContain('regular file');
    expect(await refusal(files.check(url('media', 'gone.mp4')))).toContain('there is no file');
    await refusal(files.check('file://server/share/a.mp4'));
    await refusal(files.check('file:///etc/passwd'));
  });

  test('without roots no file is read', async () => {
    expect(await refusal(guard.check(url('media', 'a b.mp4')))).toContain(
      'ingress.file_roots names no folder',
    );
  });
});
