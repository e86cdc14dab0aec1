/** A worker on another machine: its RTP is SRTP; and a server with TLS. */
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus, EncodedFileOutput } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { gridRegion, publish, SMALL, SMALL_CANVAS } from '../support/callers.ts';
import { analyse } from '../../src/demo/content/analyse.ts';
import { secondMachine } from '../support/netns.ts';
import type { SecondMachine } from '../support/netns.ts';
import { startRedis } from '../support/redis.ts';
import { Sluice } from '../support/sluice.ts';
import { runTool } from '../../src/demo/content/tool.ts';

const SECRET = 'a-secret-that-is-long-enough-for-this-test';
const ROOM = 'far-away';

async function record(sluice: Sluice, seconds: number): Promise<EgressInfo> {
  const { egressId } = await sluice.egress.startRoomCompositeEgress(
    ROOM,
    { file: new EncodedFileOutput({ filepath: 'far' }) },
    { encodingOptions: SMALL },
  );
  await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
  await sleep(seconds * 1000);
  await sluice.egress.stopEgress(egressId);
  const ended = await sluice.waitForEgress(egressId, ({ endedAt }) => endedAt > 0n);
  expect(ended.status, `${ended.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
  return ended;
}

async function expectCall(info: EgressInfo): Promise<void> {
  const { tiles } = await analyse(info.fileResults[0]!.location, {
    tiles: [{ name: 'alice', color: 'yellow', region: gridRegion(0, 1, SMALL_CANVAS), fps: 15, from: 1.5 }],
  });
  expect(tiles[0]?.share).toBeGreaterThanOrEqual(0.97);
  expect(tiles[0]?.avOffset.p95).toBeLessThanOrEqual(80);
  expect(tiles[0]?.color.closest).toBe('yellow');
}

describe.skipIf(process.getuid?.() !== 0)('a worker on another machine', () => {
  let sluice: Sluice;
  let machine: SecondMachine;
  let redis: Awaited<ReturnType<typeof startRedis>>;
  let publisher: TestPublisher;
  let relay: Server;

  beforeAll(async () => {
    machine = await secondMachine();
    redis = await startRedis();
    // Redis listens on loopback: the other machine reaches it through a relay.
    const { port } = new URL(redis.url);
    relay = createServer((socket) => {
      const upstream = connect(Number(port), '127.0.0.1');
      for (const each of [socket, upstream]) each.on('error', () => undefined);
      socket.pipe(upstream).pipe(socket);
    });
    await new Promise<void>((resolve) => relay.listen(0, machine.here, resolve));
    const far = { SLUICE_REDIS_URL: `redis://${machine.here}:${(relay.address() as AddressInfo).port}` };
    sluice = await Sluice.start({
      mode: 'split',
      redisUrl: redis.url,
      secret: SECRET,
      env: { SLUICE_HTTP_HOST: '0.0.0.0' },
    });
    await sluice.addWorker({ ...far, SLUICE_WORKER_ADDRESS: machine.there }, machine.prefix);
    publisher = await publish(sluice, ROOM, 'alice', { color: 'yellow', fps: 15 });
  });

  afterAll(async () => {
    await publisher?.stop();
    await sluice?.stop();
    relay?.close();
    await redis?.stop();
    await machine?.close();
  });

  it('records over SRTP what it would record at home', async () => {
    await expectCall(await record(sluice, 6));
    expect(sluice.tail(2_000_000)).toContain('"srtp":true');
  });
});

describe('a server with TLS', () => {
  let folder: string;
  let sluice: Sluice;
  let publisher: TestPublisher;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-tls-'));
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const subject = ['-subj', '/CN=sluice.test', '-addext', 'subjectAltName=DNS:sluice.test'];
    await runTool('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert],
      ...subject,
    ]);
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    sluice = await Sluice.start({ tls: true, env: { SLUICE_TLS_CERT: cert, SLUICE_TLS_KEY: key } });
    publisher = await publish(sluice, ROOM, 'alice', { color: 'yellow', fps: 15 });
  });

  afterAll(async () => {
    await publisher?.stop();
    await sluice?.stop();
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    await rm(folder, { recursive: true, force: true });
  });

  it('records although its certificate is for a name that does not lead here', async () => {
    expect(sluice.url).toMatch(/^https:/);
    await expectCall(await record(sluice, 4));
  });
});
