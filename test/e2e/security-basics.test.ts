/** What nobody should find out, what Sluice refuses to start with, and how it ends. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  EgressStatus,
  EncodedFileOutput,
  RoomServiceClient,
  S3Upload,
  StreamOutput,
  StreamProtocol,
} from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTestPublisher } from '../../src/demo/publisher.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { publish, quiet, SMALL } from '../support/callers.ts';
import { runCli } from '../support/cli.ts';
import { ffprobe } from '../../src/demo/content/ffprobe.ts';
import { watchProcesses } from '../support/process-list.ts';
import type { ProcessWatch } from '../support/process-list.ts';
import { freePort } from '../support/ports.ts';
import { startBadPort, startFfmpegReceiver } from '../support/rtmp.ts';
import type { BadPort, FfmpegReceiver } from '../support/rtmp.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import { startSwift } from '../support/swift.ts';
import type { Swift } from '../support/swift.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const ROOM = 'secrets';
const BUCKET = 'recordings';
/** Each of them unmistakable, and found wherever it leaks. */
const SECRETS = {
  streamKey: 'live-key-Zq81tsPw0c',
  otherStreamKey: 'live-key-Yb27RfLk3d',
  streamPassword: 'pass-Xn53HgVt6a',
  s3Secret: 's3-secret-Wm94JdKy2e',
  s3SessionToken: 's3-session-Vk65BcTz9f',
  environment: 'environment-Rt48LmXb1d',
};

describe('secrets', () => {
  let sluice: Sluice;
  let publisher: TestPublisher;
  let receiver: FfmpegReceiver;
  let refusing: BadPort;
  let swift: Swift;
  let webhooks: WebhookServer;
  let ended: EgressInfo;
  let processes: ProcessWatch;
  /** Of everybody who used one. */
  const tokens: string[] = [];
  /** What the API answered, as text. */
  const answers: string[] = [];

  beforeAll(async () => {
    [receiver, refusing, swift, webhooks] = await Promise.all([
      startFfmpegReceiver(SECRETS.streamKey),
      startBadPort('refuse', SECRETS.otherStreamKey),
      startSwift(),
      startWebhookServer(API_KEY, API_SECRET),
    ]);
    await swift.createBucket(BUCKET);
    sluice = await Sluice.start({
      ownGroup: true,
      env: { SLUICE_LOG_LEVEL: 'trace', SLUICE_WEBHOOK_URLS: webhooks.url, AWS_SECRET: SECRETS.environment },
    });
    // Between fork and exec a child still is a copy of the server, and looks like it.
    const copy = sluice.main.child.spawnargs.join(' ');
    processes = watchProcesses((command) => command !== copy, sluice.main.child.pid);
    const token = await sluice.token('ann', { room: ROOM, canPublish: true });
    tokens.push(token);
    publisher = await startTestPublisher({
      whipUrl: `${sluice.url}/whip`,
      token,
      logger: quiet,
      color: 'red',
      width: 320,
      height: 180,
      fps: 15,
    });
    const outputs = {
      file: new EncodedFileOutput({
        filepath: 'kept.mp4',
        output: {
          case: 's3',
          value: new S3Upload({
            endpoint: swift.endpoint,
            region: swift.region,
            bucket: BUCKET,
            forcePathStyle: true,
            accessKey: swift.accessKey,
            secret: SECRETS.s3Secret,
            sessionToken: SECRETS.s3SessionToken,
          }),
        },
      }),
      stream: new StreamOutput({
        protocol: StreamProtocol.RTMP,
        urls: [receiver.url, refusing.url.replace('rtmp://', `rtmp://user:${SECRETS.streamPassword}@`)],
      }),
    };
    const info = await sluice.egress.startRoomCompositeEgress(ROOM, outputs, { encodingOptions: SMALL });
    answers.push(info.toJsonString());
    await sluice.waitForEgress(info.egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    await sleep(3000);
    answers.push(...(await sluice.egress.listEgress()).map((each) => each.toJsonString()));
    answers.push((await sluice.egress.stopEgress(info.egressId)).toJsonString());
    ended = await sluice.waitForEgress(
      info.egressId,
      ({ status }) => status >= EgressStatus.EGRESS_COMPLETE,
      60_000,
    );
    answers.push(ended.toJsonString());
    await vi.waitFor(
      () => expect(webhooks.received.map(({ event }) => event.event)).toContain('egress_ended'),
      { timeout: 10_000, interval: 100 },
    );
    await publisher.stop();
    expect(await sluice.main.stop()).toBe(0);
    await processes.stop();
  }, 120_000);

  afterAll(async () => {
    await processes?.stop();
    await publisher?.stop();
    await sluice?.stop();
    await Promise.all([receiver?.close(), refusing?.close(), swift?.stop(), webhooks?.close()]);
  });

  it('fails the upload with a message that names the bucket', () => {
    expect(ended.status).toBe(EgressStatus.EGRESS_FAILED);
    expect(ended.error).toContain(BUCKET);
  });

  it.each(Object.entries(SECRETS))('keeps %s out of the log, EgressInfo and webhooks', (_name, secret) => {
    expect(sluice.main.output.length, 'all of the log is here').toBeLessThan(2_000_000);
    expect(sluice.main.output).toContain('"level":"debug"');
    expect(linesWith(sluice.main.output, secret)).toEqual([]);
    expect(linesWith(answers.join('\n'), secret)).toEqual([]);
    expect(linesWith(webhooks.attempts.map(({ body }) => body).join('\n'), secret)).toEqual([]);
  });

  it('keeps all of them out of the list of processes, but for what is documented', () => {
    const seen = [...processes.seen];
    for (const program of ['gjs', 'redis-server', 'mediasoup', 'ffmpeg'])
      expect(
        seen.some((command) => command.includes(program)),
        program,
      ).toBe(true);
    expect(
      seen.some((environment) => environment.includes('PATH=') && !environment.includes('SLUICE_')),
    ).toBe(true);
    for (const [name, secret] of Object.entries(SECRETS)) {
      // Adobe's authentication is FFmpeg's, which takes user and password in its URL only.
      const leaks = seen.filter((text) => text.includes(secret));
      if (name !== 'streamPassword') expect(leaks, name).toEqual([]);
    }
    for (const token of tokens) expect(seen.filter((text) => text.includes(token))).toEqual([]);
  });

  it('keeps access tokens and the API secret out of the log', () => {
    // A token's signature is what makes it one.
    for (const token of tokens) expect(linesWith(sluice.main.output, token.split('.')[2]!)).toEqual([]);
    expect(linesWith(sluice.main.output, 'eyJhbGciOiJIUzI1NiJ9.')).toEqual([]);
    expect(sluice.main.output).not.toContain(`"${API_KEY}":"${API_SECRET}"`);
  });

  it('ends without complaints of mediasoup', () => {
    expect(linesWith(sluice.main.output, 'broken pipe')).toEqual([]);
  });
});

describe('what it does not start with', () => {
  it('an address others can reach, and the key everybody knows', async () => {
    const { code, stderr } = await runCli(['start'], { SLUICE_HTTP_HOST: '0.0.0.0' });
    expect(code).toBe(2);
    expect(stderr).toContain('http.host');
    expect(stderr).toContain('devkey');
    expect(stderr).toContain('127.0.0.1');
  });

  it('a value that is not allowed: the message names the key, the value and what is allowed', async () => {
    const { code, stderr } = await runCli(['start'], { SLUICE_HTTP_PORT: 'seven' });
    expect(code).toBe(2);
    expect(stderr).toContain('http.port');
    expect(stderr).toContain('SLUICE_HTTP_PORT');
    expect(stderr).toContain('seven');
    expect(stderr).toContain('65535');
  });

  it('a port that somebody else has: says which, exits with 1 and leaves nothing running', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const rtc = await freePort();
    const dataDir = await mkdtemp(join(tmpdir(), 'sluice-data-'));
    try {
      const { code, stdout, stderr } = await runCli(['start'], {
        SLUICE_HTTP_PORT: String(port),
        SLUICE_INGRESS_RTMP_PORT: '0',
        SLUICE_RTC_UDP_PORT: String(rtc),
        SLUICE_RTC_TCP_PORT: String(rtc),
        SLUICE_RTC_PLAIN_PORT_RANGE: '20000-20099',
        SLUICE_DATA_DIR: dataDir,
        SLUICE_LOG_PRETTY: 'false',
      });
      // That it has ended and its pipes are closed says that its children, which have them too, have ended.
      expect(code, stdout + stderr).toBe(1);
      expect(stdout).toMatch(new RegExp(`port.*${port}|${port}.*(in use|EADDRINUSE)`));
      expect(await fetch(`http://127.0.0.1:${rtc}/`).catch(() => 'closed')).toBe('closed');
    } finally {
      await new Promise((resolve) => taken.close(resolve));
      await rm(dataDir, { recursive: true });
    }
  });
});

describe('the command line, and the server it starts', () => {
  let sluice: Sluice;
  let publisher: TestPublisher | undefined;

  beforeAll(async () => {
    sluice = await Sluice.start({ ownGroup: true });
  });
  afterAll(async () => {
    await publisher?.stop();
    await sluice?.stop();
  });

  it('prints help and version', async () => {
    const [help, version] = await Promise.all([runCli(['--help']), runCli(['--version'])]);
    expect([help.code, version.code]).toEqual([0, 0]);
    for (const command of ['demo', 'start', 'server', 'worker', 'token', 'test'])
      expect(help.stdout).toMatch(new RegExp(`^ +${command}\\b`, 'm'));
    expect(version.stdout.trim()).toMatch(/^\d+\.\d+\.\d+/);
  });

  it('says what is wrong with a command', async () => {
    const { code, stderr } = await runCli(['token', 'create', '--room', 'r']);
    expect(code).toBe(1);
    expect(stderr).toContain('--identity');
    const ttl = await runCli(['token', 'create', '--room', 'r', '--identity', 'i', '--ttl', 'soon']);
    expect([ttl.code, ttl.stdout]).toEqual([1, '']);
    expect(ttl.stderr).toContain('15m');
  });

  it('makes tokens that publish over WHIP and are listed by the SDK', async () => {
    const args = ['token', 'create', '--room', 'cli', '--identity', 'ann', '--publish', '--ttl', '5m'];
    const { code, stdout } = await runCli(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const ann = await startTestPublisher({
      whipUrl: `${sluice.url}/whip`,
      token: stdout.trim(),
      logger: quiet,
      color: 'red',
      width: 320,
      height: 180,
      fps: 15,
    });
    const rooms = new RoomServiceClient(sluice.url, API_KEY, API_SECRET);
    const participants = await rooms.listParticipants('cli');
    await ann.stop();
    expect(participants.map(({ identity, isPublisher }) => [identity, isPublisher])).toEqual([['ann', true]]);
  });

  it('makes tokens that may only do what was asked', async () => {
    const { stdout } = await runCli(['token', 'create', '--room', 'cli', '--identity', 'bob', '--subscribe']);
    const refused = await fetch(`${sluice.url}/whip`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stdout.trim()}`, 'content-type': 'application/sdp' },
      body: 'v=0\r\n',
    });
    expect(refused.status).toBe(403);
  });

  // The last: nothing runs afterwards.
  it('ends at Ctrl-C in the middle of a recording: finishes the file, and ends in order', async () => {
    publisher = await publish(sluice, 'room', 'ann', { color: 'red', fps: 15 });
    const { egressId } = await sluice.egress.startRoomCompositeEgress(
      'room',
      { file: new EncodedFileOutput({ filepath: 'cut-short' }) },
      { encodingOptions: SMALL },
    );
    await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
    await sleep(3000);
    const { main } = sluice;
    main.interrupt();
    expect(await main.ended(), sluice.tail()).toBe(0);
    expect(main.output).toContain('"msg":"stopped"');
    expect(linesWith(main.output, /"level":"(error|fatal)"|broken pipe|"namespace"/), 'a quiet end').toEqual(
      [],
    );
    const files = (await readdir(sluice.dataDir, { recursive: true })).filter((name) =>
      name.endsWith('cut-short.mp4'),
    );
    expect(files, sluice.tail()).toHaveLength(1);
    const { duration, video } = await ffprobe(join(sluice.dataDir, files[0]!));
    expect(video?.codec).toBe('h264');
    expect(duration).toBeGreaterThan(2.5);
  });
});

/** Lines that hold `what`, shortened around it. */
function linesWith(log: string, what: string | RegExp): string[] {
  return log
    .split('\n')
    .filter((line) => (typeof what === 'string' ? line.includes(what) : what.test(line)))
    .map((line) => line.slice(0, 400));
}
