/** What a request's URLs may lead to, shown on real sockets: nothing is connected to that was not checked. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { RequestListener } from 'node:http';
import { createServer as createTlsServer, request as tlsRequest } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IncomingMessage, ClientRequest } from 'node:http';
import { EncodedFileOutput, S3Upload, StreamOutput, StreamProtocol } from 'livekit-server-sdk';
import { EgressClient } from 'livekit-server-sdk';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkedAgents, createAddressPolicy, GuardError } from '../../src/outbound/index.ts';
import type { AddressPolicy, CheckedAgents } from '../../src/outbound/index.ts';
import { createStorage } from '../../src/storage/index.ts';
import { API_KEY, API_SECRET, rawCall, startApi, token } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';

const logger = pino({ level: 'silent' });
const owned: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of owned.splice(0).reverse()) await end();
});

interface Listening {
  port: number;
  /** Connections that came. */
  connections: number;
}

async function listening(server: Server): Promise<Listening> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const state = { port: (server.address() as AddressInfo).port, connections: 0 };
  server.on('connection', () => state.connections++);
  owned.push(() => server.close());
  return state;
}

const web = (answer: RequestListener): Promise<Listening> => listening(createServer(answer));

function agents(policy: AddressPolicy): CheckedAgents {
  const both = checkedAgents(policy);
  owned.push(() => {
    both.http.destroy();
    both.https.destroy();
  });
  return both;
}

async function answerTo(asking: ClientRequest): Promise<string> {
  asking.end();
  const [answer] = (await once(asking, 'response')) as [IncomingMessage];
  let body = '';
  for await (const part of answer) body += String(part);
  return body;
}

const strict = createAddressPolicy({ allowNetworks: [], setting: 'outbound.allow_networks', logger });

describe('agents', () => {
  it('connect to the address that was checked, and still ask for the name', async () => {
    const server = await web((asked, answer) => answer.end(asked.headers.host));
    const { http } = agents({ resolve: async () => '127.0.0.1' });
    const host = await answerTo(request({ host: 'store.invalid', port: server.port, agent: http }));
    expect(host).toBe(`store.invalid:${server.port}`);
  });

  it('check again for every connection: a name that has moved inside meanwhile is refused', async () => {
    const server = await web((_asked, answer) => answer.end('here'));
    let asked = 0;
    const { http } = agents({
      // What a name server under somebody's control does: first the address it is allowed to have, then another.
      resolve: () => (asked++ === 0 ? Promise.resolve('127.0.0.1') : strict.resolve('127.0.0.1')),
    });
    const ask = () =>
      answerTo(
        request({
          ...{ host: 'store.invalid', port: server.port, agent: http },
          headers: { connection: 'close' },
        }),
      );
    await expect(ask()).resolves.toBe('here');
    await expect(ask()).rejects.toBeInstanceOf(GuardError);
    expect(server.connections).toBe(1);
  });

  it("want the name's certificate, whatever address it has", async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-outbound-'));
    owned.push(() => rm(folder, { recursive: true }));
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=store.invalid'],
        ...['-addext', 'subjectAltName=DNS:store.invalid'],
      ],
      { stdio: 'ignore' },
    );
    const pem = { cert: await readFile(cert), key: await readFile(key) };
    const server = await listening(createTlsServer(pem, (_asked, answer) => answer.end('secret')));
    const { https } = agents({ resolve: async () => '127.0.0.1' });
    const ask = (host: string) =>
      answerTo(tlsRequest({ host, port: server.port, agent: https, ca: pem.cert }));
    await expect(ask('store.invalid')).resolves.toBe('secret');
    await expect(ask('other.invalid')).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });
});

describe('an S3 endpoint of a request', () => {
  const settings = {
    ...{ bucket: 'bkt', region: 'us-east-1', accessKey: 'ak', secret: 'sk', sessionToken: '' },
    ...{ forcePathStyle: true, metadata: {}, tagging: '', contentDisposition: '' },
  };
  const configured = (endpoint: string) => ({
    storage: {
      ...{ type: 'local' as const, local: { path: '/nowhere' } },
      s3: {
        ...{ bucket: '', region: 'us-east-1', endpoint, accessKey: '', secret: '', sessionToken: '' },
        forcePathStyle: true,
      },
    },
  });
  const put = (endpoint: string, policy: AddressPolicy, trusted = '') => {
    const s3 = { ...settings, endpoint };
    const storage = createStorage({ type: 's3', s3 }, configured(trusted), logger, policy);
    owned.push(() => storage.close());
    return storage.putBytes('file', Buffer.from('media'), { contentType: 'text/plain' });
  };

  it('is not connected to where it may not be, and said to be the request’s fault', async () => {
    const server = await web((_asked, answer) => answer.end());
    for (const host of ['127.0.0.1', 'localhost', '2130706433']) {
      await expect(put(`http://${host}:${server.port}`, strict)).rejects.toMatchObject({
        name: 'StorageError',
        blame: 'user',
        code: 403,
        message: expect.stringContaining('outbound.allow_networks') as string,
      });
    }
    expect(server.connections).toBe(0);
  });

  it('is not followed elsewhere, and trusted when it is the configured one', async () => {
    const secret = await web((_asked, answer) => answer.end('inside'));
    const server = await web((asked, answer) => {
      asked.resume();
      answer.writeHead(307, { location: `http://127.0.0.1:${secret.port}/bkt/file` }).end();
    });
    const endpoint = `http://127.0.0.1:${server.port}`;
    await expect(put(endpoint, strict, endpoint)).rejects.toMatchObject({ name: 'StorageError' });
    expect(server.connections).toBeGreaterThan(0);
    expect(secret.connections).toBe(0);
  });
});

describe('the API', () => {
  let api: TestApi;
  let egress: EgressClient;
  beforeAll(async () => {
    api = await startApi();
    egress = new EgressClient(api.url, API_KEY, API_SECRET);
    await api.sfu.createRoom({ name: 'room' });
  });
  afterAll(() => api.stop());

  const stream = (...urls: string[]) => new StreamOutput({ protocol: StreamProtocol.RTMP, urls });
  const upload = (endpoint: string) =>
    new EncodedFileOutput({
      filepath: 'file.mp4',
      output: {
        case: 's3',
        value: new S3Upload({ bucket: 'bkt', accessKey: 'a', secret: 's', endpoint }),
      },
    });
  const refused = (field: string, why: string) => ({
    status: 400,
    code: 'invalid_argument',
    message: expect.stringMatching(new RegExp(`${field}.*${why}.*outbound\\.allow_networks`)) as string,
  });

  it.each([
    'rtmp://169.254.169.254/live/key-1234',
    'rtmps://10.0.0.1:443/live/key-1234',
    'rtmp://user:pass-5678@2886729729/live/key-1234',
    'rtmp://[::ffff:192.168.0.1]/live/key-1234',
    'rtmp://127.0.0.2/live/key-1234 live=1',
  ])('refuses to stream to %s', async (url) => {
    const starting = egress.startRoomCompositeEgress('room', { stream: stream('rtmp://127.0.0.1/a/b', url) });
    const error: unknown = await starting.catch((reason: unknown) => reason);
    expect(error).toMatchObject(refused('urls', 'may not be reached'));
    expect((error as Error).message).not.toMatch(/key-1234|pass-5678/);
  });

  it('refuses S3 endpoints inside, but not the configured one', async () => {
    const start = (endpoint: string) => egress.startRoomCompositeEgress('room', { file: upload(endpoint) });
    await expect(start('http://169.254.169.254/latest')).rejects.toMatchObject(
      refused('s3.endpoint', '169.254.0.0/16'),
    );
    await expect(start('http://10.1.2.4:9000')).rejects.toMatchObject(refused('s3.endpoint', '10.0.0.0/8'));
    await expect(start('http://10.1.2.3:9000')).resolves.toMatchObject({ roomName: 'room' });
  });

  it('refuses them in UpdateStream, and lets pass a name that nobody knows yet', async () => {
    const { egressId } = await egress.startRoomCompositeEgress('room', {
      stream: stream('rtmp://live.invalid/a/b'),
    });
    await expect(egress.updateStream(egressId, ['rtmp://192.168.7.7/live/key'])).rejects.toMatchObject(
      refused('add_output_urls', '192.168.0.0/16'),
    );
  });

  const file = { filepath: 'a' };
  it.each([
    ['StartRoomCompositeEgress', { file, custom_base_url: 'http://169.254.169.254/' }, 'custom_base_url'],
    ['StartRoomCompositeEgress', { file, webhooks: [{ url: 'http://127.1.1.1/hook' }] }, 'webhooks.url'],
    ['StartTrackEgress', { track_id: 'TR_x', websocket_url: 'wss://10.1.1.1/raw' }, 'websocket_url'],
  ])('%s with %j: says where it may not lead', async (method, body, field) => {
    const answer = await rawCall(`${api.url}/twirp/livekit.Egress/${method}`, {
      auth: await token({ roomRecord: true }),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ room_name: 'room', ...body }),
    });
    expect(answer.json()).toMatchObject({
      code: 'invalid_argument',
      msg: expect.stringMatching(`${field}: .*outbound\\.allow_networks`) as string,
    });
  });
});
