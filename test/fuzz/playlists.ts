/**
 * HLS playlists and answers of evil servers, through the guard's proxy as FFmpeg reads them: whatever they name,
 * nothing forbidden is asked for, no password goes elsewhere, and FFmpeg is told of http URLs only.
 */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { createGuard, startGuardProxy } from '../../src/outbound/index.ts';
import type { Guard } from '../../src/outbound/index.ts';
import { silentLogger } from '../support/sfu.ts';
import { among, damageLines, upTo } from './damage.ts';
import { startEvilWeb } from './evil-web.ts';
import type { EvilAnswer, EvilWeb } from './evil-web.ts';
import { fuzzer } from './fuzzer.ts';
import type { FuzzInput, Next, Outcome, Target } from './fuzzer.ts';

interface Source extends FuzzInput {
  script: EvilAnswer[];
}

const PASSWORD = 'Pw-Kx83mQz5';
const MEDIA = [
  '#EXTM3U',
  '#EXT-X-VERSION:7',
  '#EXT-X-TARGETDURATION:2',
  '#EXT-X-MEDIA-SEQUENCE:7',
  '#EXT-X-KEY:METHOD=AES-128,URI="OWN/key",IV=0x1',
  '#EXT-X-MAP:URI="OWN/init.mp4",BYTERANGE="100@0"',
  '#EXTINF:2.0,',
  'a.ts',
  '#EXTINF:2.0,',
  'OTHER/b.ts',
];
const MASTER = [
  '#EXTM3U',
  '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",URI="audio.m3u8"',
  '#EXT-X-STREAM-INF:BANDWIDTH=1000000,RESOLUTION=640x360,AUDIO="a"',
  'low.m3u8',
  '#EXT-X-STREAM-INF:BANDWIDTH=5000000,RESOLUTION=1920x1080,AUDIO="a"',
  'OTHER/high.m3u8',
  '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="FORBIDDEN/i.m3u8"',
];

/** References that a playlist or a redirect may hold. */
const references = (web: EvilWeb): string[] => [
  ...[
    `${web.forbidden}/x`,
    `${web.forbidden.replace('http:', 'https:')}/x`,
    `//${new URL(web.forbidden).host}/x`,
  ],
  ...[web.forbidden.replace('127.0.0.2', '2130706434'), web.forbidden.replace('127.0.0.2', '0x7f.2')],
  ...[web.forbidden.replace('127.0.0.2', '[::ffff:127.0.0.2]'), web.forbidden.replace('127.0.0.2', '127.2')],
  ...[
    web.forbidden.replace('http://', `http://u:${PASSWORD}@`),
    `${web.own}/a`,
    `${web.other}/b`,
    'c.ts',
    '../../d',
  ],
  ...[
    'file:///etc/passwd',
    'FILE:///etc/passwd',
    '/etc/passwd',
    'concat:/etc/passwd|x',
    'crypto:x',
    'data:,x',
  ],
  ...[
    'tcp://127.0.0.2:1',
    'httpproxy://127.0.0.1:1/',
    'subfile,,start,0,end,9,,:/etc/passwd',
    'http:/x',
    'http://',
  ],
  ...[
    'http://sluice-source.invalid/source',
    'http://sluice-tls.127-0-0-2.ip4.invalid:443/',
    'http://169.254.169.254/',
  ],
  ...[
    'http://[::1]:1/',
    'http://0:1/',
    `x" URI="${web.forbidden}/y`,
    ' \t',
    '\\\\127.0.0.2\\x',
    'http:\\\\127.0.0.2/',
  ],
];

function ask(
  proxy: URL,
  url: string,
  authorization?: string,
): Promise<{ status: number; location: string; body: string }> {
  return new Promise((resolve) => {
    const failed = (): void => resolve({ status: 0, location: '', body: '' });
    const credentials = Buffer.from(`${proxy.username}:${proxy.password}`).toString('base64');
    const headers = {
      'proxy-authorization': `Basic ${credentials}`,
      ...(authorization ? { authorization } : {}),
    };
    const asking = request(
      { host: proxy.hostname, port: proxy.port, path: url, headers, agent: false },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', failed);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            location: response.headers.location ?? '',
            body: Buffer.concat(parts).toString('utf8'),
          }),
        );
      },
    );
    asking.on('error', failed).end();
  });
}

/** As FFmpeg has them: credentials in a URL are sent where it leads. */
function basic(url: URL): string | undefined {
  if (url.username === '') return undefined;
  return `Basic ${Buffer.from(`${url.username}:${url.password}`).toString('base64')}`;
}

class Playlists implements Target<Source> {
  readonly #web: EvilWeb;
  readonly #guard: Guard;
  readonly #references: string[];

  constructor(web: EvilWeb, guard: Guard) {
    this.#web = web;
    this.#guard = guard;
    this.#references = references(web);
  }

  make(index: number, next: Next): Source {
    const script = Array.from({ length: 2 + upTo(next, 3) }, () => this.#answer(next));
    // Mostly there is a playlist to begin with.
    if (next() < 0.8) Object.assign(script[0]!, { kind: 'body', status: 200 });
    const bytes = Buffer.from(
      script
        .map(({ kind, location, body }) => `${kind} ${location}\n${body.toString('utf8')}`)
        .join('\n---\n'),
    );
    return { description: `source ${index}: ${script.map(({ kind }) => kind).join(', ')}`, script, bytes };
  }

  #answer(next: Next): EvilAnswer {
    const { own, other, forbidden } = this.#web;
    const extra = this.#references.flatMap((each) => [
      each,
      `#EXT-X-MAP:URI="${each}"`,
      `#EXT-X-KEY:METHOD=AES-128,URI=${each}`,
      `#EXT-X-MAP:X="a\\",Y=",URI=${each},Z="`,
      `#EXT-X-MAP:URI="${own}/?\\\\",URI="${each}`,
      `#a comment\0${each}`,
      `# \0#EXT-X-MAP:URI=${each}`,
    ]);
    const lines = next() < 0.5 ? MEDIA : MASTER;
    const damaged = next() < 0.7 ? damageLines(lines.slice(1), extra, next) : lines.slice(1);
    if (next() < 0.02)
      damaged.push(...Array<string>(60_000).fill('#EXTINF:1,\nsegment-with-a-long-name-that-fills-up.ts'));
    const text = ['#EXTM3U', ...damaged].join(among(next, ['\n', '\r\n', '\r']));
    const body = text.replaceAll('OWN', own).replaceAll('OTHER', other).replaceAll('FORBIDDEN', forbidden);
    const kind = among(next, [
      'body',
      'body',
      'body',
      'body',
      'redirect',
      'cut',
      'reset',
      'garbage',
    ] as const);
    return {
      kind: next() < 0.01 ? 'silent' : kind,
      status: among(next, [200, 200, 200, 206, 404, 500]),
      location: among(next, this.#references),
      body: Buffer.from(body),
    };
  }

  async run({ script }: Source): Promise<Outcome> {
    this.#web.script = [...script];
    const url = new URL(`${this.#web.own.replace('http://', `http://user:${PASSWORD}@`)}/live/index.m3u8`);
    const proxy = await startGuardProxy({ guard: this.#guard, url, logger: silentLogger, timeoutMs: 200 });
    try {
      const through = new URL(proxy.proxyUrl);
      const todo = [proxy.entryUrl];
      const statuses: number[] = [];
      for (let asked = 0; asked < 10 && todo.length > 0; asked++) {
        const target = new URL(todo.shift()!);
        const { status, location, body } = await ask(through, target.href, basic(target));
        statuses.push(status);
        assert.ok([0, 200, 206, 302, 400, 403, 404, 431, 500, 502].includes(status), `status ${status}`);
        if (status === 302) todo.push(...checked([location]));
        if (status === 200 && body.startsWith('#EXTM3U')) todo.push(...checked(urlsOf(body)).slice(0, 4));
      }
      assert.equal(this.#web.visits, 0, 'the forbidden server was asked');
      assert.equal(this.#web.leaked, 0, 'the password went to another server');
      if (proxy.failure) {
        assert.match(proxy.failure.message, /^[\x20-\x7e]{10,600}$/);
        assert.ok(!proxy.failure.message.includes(PASSWORD), 'a password');
      }
      const kinds = [...new Set(statuses.slice(1))].sort((a, b) => a - b).join(' ');
      return {
        kind: `${kinds || 'nothing'}${proxy.playlist ? `, ${proxy.playlist}` : ''}`,
        past: statuses.length > 2,
      };
    } finally {
      await proxy.close();
    }
  }

  close(): Promise<void> {
    return this.#web.close();
  }
}

/** FFmpeg's reader of attributes, `ff_parse_key_value`: quotes may be left out, and a backslash escapes. */
const ATTRIBUTE = /([^=]*)=("(?:\\.|[^"\\])*"?|[^, \t\v\f]*)[, \t\v\f]*/g;

/** What FFmpeg's HLS demuxer would open: lines end at NUL as well, and it knows URI with and without quotes. */
function urlsOf(playlist: string): string[] {
  const lines = playlist.split(/[\r\n\0]/).map((line) => line.trim());
  const plain = lines.filter((line) => line !== '' && !line.startsWith('#'));
  const tags = lines.flatMap((line) => /^#EXT-X-(?:KEY|MAP|MEDIA|SESSION-KEY):(.*)$/.exec(line)?.[1] ?? []);
  const uris = tags
    .flatMap((list) => [...list.matchAll(ATTRIBUTE)])
    .filter(([, key]) => key === 'URI')
    .map(([, , value = '']) =>
      value.startsWith('"') ? value.slice(1).replace(/"$/, '').replace(/\\(.)/g, '$1') : value,
    );
  return [...plain, ...uris.filter((uri) => uri !== '')];
}

function checked(urls: string[]): string[] {
  for (const url of urls) assert.match(url, /^http:\/\/[^/]/, `FFmpeg would open ${url.slice(0, 200)}`);
  return urls;
}

export const playlistsFuzzer = fuzzer<Source>({
  name: 'playlists',
  about: 'HLS playlists, redirects and broken answers of evil servers, through the proxy before FFmpeg',
  count: 80,
  async start() {
    const web = await startEvilWeb();
    const guard = createGuard({ allowNetworks: ['127.0.0.1/32'], fileRoots: [], logger: silentLogger });
    return new Playlists(web, guard);
  },
});
