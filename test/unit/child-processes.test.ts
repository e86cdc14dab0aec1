/** Promises about every process we start: no shell, limits, nothing of ours in its environment. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { childEnvironment } from '../../src/child-environment.ts';
import { receiverDescription } from '../../pipelines/runtime/receiver-bin.ts';
import type { Connect } from '../../pipelines/runtime/receiver-bin.ts';
import { remuxArguments } from '../../src/egress/outputs/file/remux-plan.ts';
import { streamArguments, parseTarget } from '../../src/egress/outputs/stream/target.ts';
import { pullArguments } from '../../src/ingress/inputs/url/arguments.ts';
import { FfmpegProcess, ffmpegArguments } from '../../src/pipeline/ffmpeg.ts';
import { FFMPEG_LIMITS, confine, findConfiners } from '../../src/pipeline/confine.ts';
import { hiddenFile } from '../../src/pipeline/hidden-file.ts';

const logger = pino({ level: 'silent' });
const SOURCE = join(import.meta.dirname, '../../src');

describe('no shell', () => {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );

  it('is started anywhere in src', () => {
    expect(files.length).toBeGreaterThan(100);
    const guilty = files.filter((file) => {
      const text = readFileSync(join(SOURCE, file), 'utf8');
      const imported = [...text.matchAll(/import\s*\{([^}]*)\}\s*from\s*'(?:node:)?child_process'/g)]
        .flatMap(([, names = '']) => names.split(','))
        .map((name) => name.trim().split(' ')[0]);
      const other = /(import\s*\*|require\s*\(|import\s*\()[^;\n]*child_process/.test(text);
      return other || imported.includes('exec') || imported.includes('execSync') || /\bshell\s*:/.test(text);
    });
    expect(guilty).toEqual([]);
  });
});

it("what a peer says of its stream never gets into a pipeline's text", () => {
  const track = (parameters: Record<string, string>): Connect => ({
    ...{ cmd: 'connect', trackId: 'TR', syncGroup: 'a', ssrc: 1, kind: 'video', muted: false },
    remote: { ip: '127.0.0.1', port: 5 },
    codec: { mimeType: 'video/H264', payloadType: 96, clockRate: 90000, parameters },
  });
  const evil = '" ! filesink location=/x name="\n';
  const connect = { ...track({ 'sprop-parameter-sets': evil }), trackId: evil, syncGroup: evil };
  expect(receiverDescription(connect, 'identity name=out')).toBe(
    receiverDescription(track({}), 'identity name=out'),
  );
  expect(() =>
    receiverDescription({ ...connect, codec: { ...connect.codec, mimeType: `video/H264${evil}` } }, ''),
  ).toThrow();
});

describe('every FFmpeg', () => {
  const plan = {
    ...({ format: 'mp4', container: 'mpegts' } as const),
    ...{ audioCodec: 'aac', encodeAudio: false, audioBitrate: 128 },
  };

  it.each([
    ['-i', 'file:-i'],
    ['concat:/a|/b', 'file:concat:/a|/b'],
    ['/x/%d -y $(id)\n.mp4', 'file:/x/%d -y $(id)\n.mp4'],
  ])('takes %j for a name', (path, named) => {
    const args = remuxArguments(plan, path);
    expect(args.filter((arg) => arg === named)).toHaveLength(1);
    expect(args.filter((arg) => arg.includes(path.slice(1)) && arg !== named && path.length > 3)).toEqual([]);
  });

  it('is told which protocols it may use, for what it reads and what it writes', () => {
    const whitelists = (args: readonly string[]): string[] =>
      args.flatMap((arg, at) => (arg === '-protocol_whitelist' ? [args[at + 1] ?? ''] : []));
    expect(whitelists(remuxArguments(plan, '/x.mp4'))).toEqual(['pipe', 'file']);
    expect(whitelists(streamArguments(parseTarget('rtmp://h/a/k')))).toEqual(['pipe', 'rtmp,rtmps,tcp,tls']);
    expect(whitelists(streamArguments(parseTarget('srt://h:1?passphrase=0123456789')))).toEqual([
      'pipe',
      'srt',
    ]);
    const pulled = pullArguments({
      options: ['-protocol_whitelist', 'srt'],
      url: 'srt://h:1',
      audio: 'copy',
    });
    expect(whitelists(pulled)).toEqual(['srt', 'pipe']);
    expect(pulled.at(-1)).toBe('pipe:1');
  });
});

describe('environment', () => {
  it('holds how programs run, and nothing of ours', () => {
    const ours = {
      ...{ PATH: '/bin', LC_ALL: 'C', GST_PLUGIN_PATH: '/p', LD_LIBRARY_PATH: '/l', HOME: '/h' },
      ...{ SLUICE_API_KEYS: 'k: s', LIVEKIT_API_SECRET: 's', AWS_SECRET_ACCESS_KEY: 'a', REDIS_URL: 'r' },
      ...{ FFREPORT: 'file=x', http_proxy: 'http://u:p@h', NODE_OPTIONS: '--inspect' },
    };
    expect(childEnvironment(ours, { http_proxy: 'mine' })).toEqual({
      ...{ PATH: '/bin', LC_ALL: 'C', GST_PLUGIN_PATH: '/p', LD_LIBRARY_PATH: '/l', HOME: '/h' },
      http_proxy: 'mine',
    });
  });
});

describe('limits', () => {
  const all = { limits: true, parentDeath: true, noNetwork: ['--net'] };

  it('are left out one by one where they cannot be set', () => {
    const wanted = { ...FFMPEG_LIMITS, network: false, endsWithUs: true };
    expect(confine(['ffmpeg', '-x'], wanted, all)).toEqual([
      'unshare',
      [
        ...[
          '--net',
          '--',
          'prlimit',
          '--core=0',
          '--nofile=256',
          `--data=${FFMPEG_LIMITS.memoryBytes}`,
          '--',
        ],
        ...['setpriv', '--pdeathsig', 'KILL', '--', 'ffmpeg', '-x'],
      ],
    ]);
    expect(confine(['ffmpeg'], { ...wanted, network: true, endsWithUs: false }, all)[0]).toBe('prlimit');
    const none = { limits: false, parentDeath: false, noNetwork: undefined };
    expect(confine(['ffmpeg', '-x'], wanted, none)).toEqual(['ffmpeg', ['-x']]);
  });

  it('are those the process has, and it has no network', async () => {
    const args = ffmpegArguments((command) => {
      command.input('pipe:0').inputOptions('-protocol_whitelist', 'pipe', '-f', 'mpegts');
      command.output('pipe:1').outputOptions('-f', 'null');
    });
    const child = new FfmpegProcess({
      ...{ args, stdin: 'pipe', stdout: 'pipe', logger, network: 'none', background: true },
      hidden: 'a secret',
    });
    child.stdout.resume();
    try {
      await expect.poll(() => readFile(`/proc/${child.pid}/comm`, 'utf8')).toBe('ffmpeg\n');
      const limits = await readFile(`/proc/${child.pid}/limits`, 'utf8');
      expect(limits).toMatch(/^Max core file size +0 +0 /m);
      expect(limits).toMatch(/^Max open files +256 +256 /m);
      expect(limits).toMatch(
        new RegExp(`^Max data size +${FFMPEG_LIMITS.memoryBytes} +${FFMPEG_LIMITS.memoryBytes} `, 'm'),
      );
      // Fields of proc(5), counted from behind the name: nice is the 19th of all.
      const stat = await readFile(`/proc/${child.pid}/stat`, 'utf8');
      expect(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])).toBe(5);
      if (findConfiners(logger).noNetwork) {
        // Only its own loopback, which is down.
        const devices = (await readFile(`/proc/${child.pid}/net/dev`, 'utf8')).trim().split('\n').slice(2);
        expect(devices.map((line) => line.trim().split(':')[0])).toEqual(['lo']);
        expect((await readFile(`/proc/${child.pid}/net/route`, 'utf8')).trim().split('\n')).toHaveLength(1);
      }
    } finally {
      await child.kill();
    }
  });

  it('end what takes more memory than it may, and not us', () => {
    const [command, args] = confine(
      [process.execPath, '-e', 'const all = []; for (;;) all.push(Buffer.alloc(16e6, 1))'],
      { memoryBytes: 2 ** 30, files: 64, network: true, endsWithUs: true },
      findConfiners(logger),
    );
    expect(() => execFileSync(command, args, { stdio: 'ignore', timeout: 20_000 })).toThrow(/Command failed/);
  });
});

it('a hidden file can be opened by its descriptor, from its beginning, and has no name', async () => {
  const hidden = hiddenFile('key=ü\n');
  try {
    for (let i = 0; i < 2; i++) expect(readFileSync(`/dev/fd/${hidden.fd}`, 'utf8')).toBe('key=ü\n');
    const read = execFileSync('cat', ['/dev/fd/3'], { stdio: ['ignore', 'pipe', 'inherit', hidden.fd] });
    expect(read.toString()).toBe('key=ü\n');
    expect(readFileSync(`/proc/self/fdinfo/${hidden.fd}`, 'utf8')).toMatch(/^pos:\s+0$/m);
  } finally {
    hidden.close();
  }
});
