/** PATCH of WHIP and WHEP sessions: fragments and ETags at a real server. Refused or taken; the session stays. */
import assert from 'node:assert/strict';
import { offerOf } from '../support/offers.ts';
import { startSignaling } from '../support/signaling-server.ts';
import type { SignalingServer } from '../support/signaling-server.ts';
import { among, damageLines, upTo } from './damage.ts';
import { fuzzer } from './fuzzer.ts';
import type { FuzzInput, Next, Outcome, Target } from './fuzzer.ts';

interface Patch extends FuzzInput {
  session: number;
  /** The ETag it names; `current` and `*` stand for what they say. */
  tag: string | undefined;
  type: string;
}

interface Session {
  url: URL;
  token: string;
  etag: string;
}

const FRAGMENT = [
  'a=ice-options:trickle',
  'a=group:BUNDLE 0 1',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=mid:0',
  'a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1',
  'a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ srflx raddr 0.0.0.0 rport 0',
  'a=candidate:473322822 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active generation 0',
  'a=end-of-candidates',
];
const RESTART = ['a=ice-ufrag:ysXw', 'a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k'];
const EXTRA = [
  ...RESTART,
  'a=ice-ufrag:x',
  'a=ice-ufrag:',
  `a=ice-pwd:${'p'.repeat(400)}`,
  'a=candidate:',
  'a=candidate:1 0 udp -1 x 99999 typ',
  'a=candidate:1 1 udp 1 169.254.169.254 80 typ host',
  `a=candidate:${'1 '.repeat(2000)}`,
  'm=video 9 UDP/TLS/RTP/SAVPF 96',
  'x',
  'a=',
  `a=mid:${'9'.repeat(5000)}`,
];
const TAGS = [
  'current',
  'current',
  '*',
  undefined,
  '',
  '"',
  '""',
  '"old"',
  'W/"x"',
  '"a", *',
  'x'.repeat(5000),
];

class Sessions implements Target<Patch> {
  readonly #server: SignalingServer;
  readonly #sessions: Session[];

  constructor(server: SignalingServer, sessions: Session[]) {
    this.#server = server;
    this.#sessions = sessions;
  }

  make(index: number, next: Next): Patch {
    const restart = [`a=ice-ufrag:u${upTo(next, 1e6) + 1000}`, 'a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k'];
    const lines = next() < 0.3 ? [...restart, ...FRAGMENT] : FRAGMENT;
    const damaged = next() < 0.55 ? damageLines(lines, EXTRA, next) : lines;
    const text = damaged.join(among(next, ['\r\n', '\r\n', '\n'])) + '\r\n';
    return {
      description: `fragment ${index}`,
      bytes: Buffer.from(text.slice(0, next() < 0.05 ? upTo(next, 40) : undefined)),
      session: upTo(next, this.#sessions.length - 1),
      tag: among(next, TAGS),
      type:
        next() < 0.04 ? among(next, ['application/sdp', 'text/plain']) : 'application/trickle-ice-sdpfrag',
    };
  }

  async run({ bytes, session: number, tag, type }: Patch): Promise<Outcome> {
    const session = this.#sessions[number]!;
    const headers: Record<string, string> = {
      authorization: `Bearer ${session.token}`,
      'content-type': type,
    };
    if (tag !== undefined) headers['if-match'] = tag === 'current' ? session.etag : tag;
    const response = await fetch(session.url, { method: 'PATCH', headers, body: new Uint8Array(bytes) });
    const body = await response.text();
    const kind = String(response.status);
    if (response.status === 200) {
      const etag = response.headers.get('etag') ?? '';
      assert.match(etag, /^"[\w-]{16}"$/);
      assert.notEqual(etag, session.etag, 'a restart has a tag of its own');
      assert.match(body, /a=ice-ufrag:\S+\r\na=ice-pwd:\S+\r\n/);
      session.etag = etag;
      return { kind: '200 restarted', past: true };
    }
    if (response.status === 204) {
      assert.equal(body, '');
      return { kind, past: true };
    }
    assert.ok([400, 412, 413, 415, 428].includes(response.status), `${response.status} ${body}`);
    const { status, detail } = JSON.parse(body) as { status: number; detail: string };
    assert.equal(status, response.status);
    assert.match(detail, /^[\x20-\x7e]{10,4000}$/);
    return { kind, past: response.status === 412 || response.status === 428 };
  }

  /** Both sessions are still there, and end when they are asked to. */
  async check(): Promise<void> {
    for (const { url, token } of this.#sessions) {
      const { status } = await fetch(url, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${token}` },
      });
      assert.equal(status, 200);
    }
    assert.equal(this.#server.sfu.workerPids.length, 1);
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}

export const patchFuzzer = fuzzer<Patch>({
  name: 'patch',
  about: 'trickle and restart fragments, and ETags, of WHIP and WHEP sessions',
  count: 300,
  async start() {
    const server = await startSignaling({ timing: { connectTimeoutMs: 3_600_000 } });
    const sessions: Session[] = [];
    for (const [path, offer] of [
      ['/whip', 'chromium-156-send'],
      ['/whep', 'chromium-156-watch'],
    ] as const) {
      const token = await server.token('fuzz', `fuzz${path.slice(1)}`, {}, '24h');
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/sdp' };
      const response = await fetch(new URL(path, server.url), {
        method: 'POST',
        headers,
        body: offerOf(offer),
      });
      const { headers: answer } = response;
      assert.equal(response.status, 201, await response.text());
      sessions.push({
        url: new URL(answer.get('location') ?? '', server.url),
        token,
        etag: answer.get('etag') ?? '',
      });
    }
    return new Sessions(server, sessions);
  },
});
