/** Destinations that fail in every way at once, of one egress: what happens to each, and what its StreamInfo says. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { EgressInfo, StreamInfo_Status } from '@livekit/protocol';
import type { StreamInfo } from '@livekit/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StreamsSink } from '../../src/egress/sinks/streams.ts';
import { ffprobePackets } from '../../src/demo/content/ffprobe.ts';
import { redactStreamUrl } from '../../src/redact.ts';
import { startRtmpReceiver } from '../support/rtmp-receiver.ts';
import { startBadPort, startNginxRtmp } from '../support/rtmp.ts';
import type { NginxRtmp } from '../support/rtmp.ts';
import { startTap } from '../support/tap-source.ts';
import { startTcpSwitch } from '../support/tcp-switch.ts';
import { capturedLogger } from '../support/captured-logger.ts';

const LIMITS = { connectMs: 6000, retryMs: 9000, stallMs: 2000, queueMs: 1000 };
const { ACTIVE, FAILED, FINISHED } = StreamInfo_Status;
const run = promisify(execFile);

/** Process ids of the FFmpegs we run. */
async function ffmpegs(): Promise<number[]> {
  const { stdout } = await run('ps', ['-o', 'pid=,comm=', '--ppid', String(process.pid)]);
  const lines = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  return lines.flatMap(([pid, name]) => (name === 'ffmpeg' ? Number(pid) : []));
}

describe('destinations of one egress', () => {
  const closers: (() => Promise<unknown>)[] = [];
  const info = new EgressInfo();
  const { logger, logged } = capturedLogger();
  const urls: Record<string, string> = {};
  /** What a stream's info was once it was seen like that. */
  const seen: Record<string, StreamInfo> = {};
  let good: NginxRtmp;

  const of = (name: string): StreamInfo => {
    const found = info.streamResults.find(({ url }) => url === redactStreamUrl(urls[name]!));
    if (!found) throw new Error(`no stream ${name}`);
    return found;
  };
  const live = (name: string, retries = 0): boolean => {
    const { status, startedAt, error, retries: tried } = of(name);
    return status === ACTIVE && startedAt > 0n && error === '' && tried >= retries;
  };
  const until = async (key: string, name: string, check: () => boolean, timeout = 20_000): Promise<void> => {
    for (const deadline = Date.now() + timeout; !check(); await sleep(50)) {
      if (Date.now() > deadline) throw new Error(`not ${key}: ${of(name).toJsonString()}`);
    }
    seen[key] = of(name).clone();
  };

  beforeAll(async () => {
    const use = <T extends { close(): Promise<unknown> }>(each: T): T => {
      closers.push(() => each.close());
      return each;
    };
    const [first, second] = await Promise.all([startNginxRtmp(), startNginxRtmp()]);
    good = use(first);
    const standing = use(second);
    const [late, returning, dying] = [
      use(await startTcpSwitch(good.port, false)),
      use(await startTcpSwitch(good.port)),
      use(await startTcpSwitch(good.port)),
    ];
    const refusing = use(await startRtmpReceiver({ refuse: () => 'this key is not known' }));
    const silent = use(await startBadPort('never-read', 'k3y-of-the-silent'));
    const through = (port: number, name: string): string =>
      `rtmp://127.0.0.1:${port}/live/k3y-of-the-${name}`;
    Object.assign(urls, {
      hung: good.url('k3y-of-the-hung'),
      good: good.url('k3y-of-the-good'),
      late: through(late.port, 'late'),
      returning: through(returning.port, 'returning'),
      dying: through(dying.port, 'dying'),
      standing: standing.url('k3y-of-the-standing'),
      refusing: refusing.url('k3y-of-the-refusing'),
      silent: silent.url,
    });
    const sink = new StreamsSink(
      {
        attempt: 1,
        record: { info: { streamResults: [] } },
        status: { update: (change) => change(info) },
        logger,
      },
      { resolve: async () => '127.0.0.1' },
      () => undefined,
      LIMITS,
    );
    closers.push(() => sink.close());
    const tap = startTap((data) => sink.onTap(data), 4000, 30);
    closers.push(() => tap.stop());
    sink.onDesired({ revision: 1, streamUrls: [urls.hung!] });
    await until('hung at first', 'hung', () => live('hung'));
    const [hung] = await ffmpegs();
    sink.onDesired({ revision: 2, streamUrls: Object.values(urls) });
    for (const name of ['good', 'returning', 'dying', 'standing'])
      await until(`${name} at first`, name, () => live(name));
    await sleep(1000);

    standing.signal('SIGSTOP');
    process.kill(hung!, 'SIGSTOP');
    returning.cut();
    await dying.down();
    await until('late at first', 'late', () => of('late').retries > 1);
    await late.up();
    await Promise.all([
      until('late', 'late', () => live('late', 1)),
      until('returning', 'returning', () => live('returning', 1)),
      until('hung noticed', 'hung', () => of('hung').error !== '').then(() =>
        until('hung', 'hung', () => live('hung', 1)),
      ),
      until('standing noticed', 'standing', () => of('standing').error !== '').then(() => {
        standing.signal('SIGCONT');
        return until('standing', 'standing', () => live('standing', 1));
      }),
      ...['dying', 'refusing', 'silent'].map((name) => until(name, name, () => of(name).status === FAILED)),
    ]);
    await sleep(1500);
    await tap.stop();
    await sink.endLive();
  }, 60_000);

  afterAll(async () => {
    for (const close of closers.reverse()) await close();
  });

  it.each(['late', 'returning', 'hung', 'standing'])('%s goes on in a new connection', (name) => {
    const { retries, lastRetryAt, startedAt } = seen[name]!;
    expect(retries).toBeGreaterThan(0);
    expect(lastRetryAt).toBeGreaterThan(0n);
    if (name !== 'late') expect(startedAt).toBe(seen[`${name} at first`]!.startedAt);
    expect(of(name)).toMatchObject({ status: FINISHED, error: '' });
  });

  it.each([
    ['hung noticed', /took no data for 2 s$/],
    ['standing noticed', /took no data for 2 s$/],
    ['late at first', /^connection refused by 127\.0\.0\.1:\d+$/],
  ])('%s: says why, and is still tried', (key, reason) => {
    expect(seen[key]!.error).toMatch(reason);
    expect(seen[key]!.status).toBe(ACTIVE);
  });

  it.each([
    ['dying', /^connection refused by|closed the connection/],
    ['refusing', /rejected the stream|closed the connection/],
    ['silent', /did not answer within 2 s$/],
  ])('%s is given up after its limit, with the reason', (name, reason) => {
    const { retries, lastRetryAt, error, endedAt } = of(name);
    expect(error).toMatch(reason);
    expect(retries).toBeGreaterThan(0);
    expect(lastRetryAt).toBeGreaterThan(0n);
    expect(endedAt).toBeGreaterThan(lastRetryAt);
    expect(of(name).status).toBe(FAILED);
  });

  it('waits longer after each failure', () => {
    const waits = logged
      .map((line) => JSON.parse(line) as { stream?: string; retryMs?: number })
      .filter(({ stream }) => stream === redactStreamUrl(urls.refusing!))
      .flatMap(({ retryMs }) => retryMs ?? []);
    expect(waits.length).toBeGreaterThan(1);
    waits.slice(1).forEach((wait, index) => expect(wait).toBeGreaterThan(waits[index]!));
  });

  it('the good one never notices', async () => {
    expect(of('good')).toMatchObject({ status: FINISHED, retries: 0, lastRetryAt: 0n, error: '' });
    const [file, another] = await good.recordings('k3y-of-the-good');
    expect(another).toBeUndefined();
    const packets = await ffprobePackets(file!, 'v:0');
    const steps = packets.slice(1).map(({ dts }, index) => (dts ?? NaN) - (packets[index]!.dts ?? NaN));
    expect(packets[0]).toMatchObject({ key: true });
    expect(Math.min(...steps)).toBeGreaterThan(0);
    expect(Math.max(...steps)).toBeLessThan(0.2);
  });

  it.each(['returning', 'late', 'hung'])(
    'every connection of %s begins with a keyframe, near zero',
    async (name) => {
      const files = await good.recordings(`k3y-of-the-${name}`);
      expect(files.length).toBe(name === 'late' ? 1 : 2);
      for (const file of files) {
        const [packet] = await ffprobePackets(file, 'v:0');
        expect(packet).toMatchObject({ key: true });
        expect(packet!.dts).toBeLessThan(0.2);
      }
    },
  );

  it('shows no stream key', () => {
    expect(logged.length).toBeGreaterThan(10);
    expect(logged.join('') + info.toJsonString()).not.toContain('k3y-of-the');
  });
});
