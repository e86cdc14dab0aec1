/**
 * Every error that the API's callers, publishers and workers can cause with a secret in their hands, at one whole
 * server: neither its log nor any answer, EgressInfo, IngressInfo or webhook shows one of them.
 */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { EgressStatus } from 'livekit-server-sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { rawCall, token as apiToken } from '../support/api.ts';
import { freePort } from '../support/ports.ts';
import { publishBytes } from '../support/rtmp-bytes.ts';
import { sleep } from '../support/sfu.ts';
import { API_KEY, API_SECRET, Sluice } from '../support/sluice.ts';
import { startWebhookServer } from '../support/webhook-receiver.ts';
import type { WebhookServer } from '../support/webhook-receiver.ts';

const ROOM = 'redaction';
/** By name, each unmistakable. */
const secrets = new Map<string, string>();
function secret(name: string): string {
  const value = `${name}-zQ${secrets.size}xv${Math.random().toString(36).slice(2, 12)}`;
  secrets.set(`${name} ${secrets.size}`, value);
  return value;
}

let sluice: Sluice;
let webhooks: WebhookServer;
let auth = '';
let rtmpPort = 0;
/** What anybody was answered. */
const answers: string[] = [];
/** Status and code of each call, to show that errors were reached. */
const outcomes: string[] = [];

beforeAll(async () => {
  webhooks = await startWebhookServer(API_KEY, API_SECRET);
  rtmpPort = await freePort();
  sluice = await Sluice.start({
    env: {
      SLUICE_LOG_LEVEL: 'trace',
      SLUICE_WEBHOOK_URLS: `${webhooks.url},http://hook:${secret('hookPassword')}@127.0.0.1:9/?token=${secret('hookToken')}`,
      SLUICE_STORAGE_UPLOAD_WAIT: '1',
      SLUICE_INGRESS_RTMP_PORT: String(rtmpPort),
      SLUICE_INGRESS_ALLOW_NETWORKS: '127.0.0.1/32',
      SLUICE_STORAGE_S3_ACCESS_KEY: 'AKIDEXAMPLE',
      SLUICE_STORAGE_S3_SECRET: secret('configuredS3Secret'),
      SLUICE_STORAGE_S3_SESSION_TOKEN: secret('configuredSessionToken'),
    },
  });
  auth = await apiToken(
    {
      ...{ room: ROOM, roomAdmin: true, roomCreate: true, roomList: true, roomRecord: true },
      ...{ ingressAdmin: true },
    },
    { ttl: 600 },
  );
}, 60_000);
afterAll(async () => {
  await sluice?.stop();
  await webhooks?.close();
});

async function call(
  method: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  const answer = await rawCall(`${sluice.url}/twirp/livekit.${method}`, {
    auth,
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  answers.push(`${method} ${answer.status} ${answer.bytes.toString()}`);
  const json = answer.contentType === 'application/json' ? answer.json() : {};
  outcomes.push(answer.status === 200 ? `${method} 200` : `${method} ${String(json.code)}`);
  return json;
}

const s3 = () => ({
  access_key: secret('accessKey'),
  secret: secret('s3Secret'),
  session_token: secret('sessionToken'),
  bucket: 'bucket',
  endpoint: 'http://127.0.0.1:9',
  region: 'r',
});
const destination = (host: string): string =>
  `rtmp://user:${secret('rtmpPassword')}@${host}/live/${secret('streamKey')}`;

async function egressErrors(): Promise<void> {
  const start = (request: object) => call('Egress/StartRoomCompositeEgress', { room_name: ROOM, ...request });
  const file = { filepath: 'x.mp4' };
  await start({ file: { ...file, s3: s3() }, room_name: 'nowhere' });
  await start({ file: { ...file, s3: { ...s3(), endpoint: `http://u:${secret('endpoint')}@10.9.8.7:1` } } });
  await start({ file: { ...file, s3: { ...s3(), endpoint: `no url ${secret('endpoint')}` } } });
  await start({ file: { ...file, s3: { ...s3(), bucket: '' } } });
  await start({
    file: { ...file, s3: { ...s3(), proxy: { url: 'http://a:1', password: secret('proxy') } } },
  });
  await start({ file: { ...file, s3: { ...s3(), assume_role_external_id: secret('role') } } });
  await start({ file: { ...file, gcp: { credentials: secret('gcp'), bucket: 'b' } } });
  await start({
    file: { ...file, azure: { account_name: 'a', account_key: secret('azure'), container_name: 'c' } },
  });
  await start({ file: { ...file, aliOSS: { access_key: 'a', secret: secret('ali'), bucket: 'b' } } });
  await start({ file: { filepath: `../../${secret('path')}/{nonsense}`, s3: 'not a message' } });
  for (const host of ['10.1.2.3', '127.0.0.1:9', 'bad host', '[::1', '']) {
    await start({ room_name: 'nowhere', stream: { protocol: 'RTMP', urls: [destination(host)] } });
  }
  await start({
    stream: {
      protocol: 'SRT',
      urls: [`srt://127.0.0.1:1?passphrase=${secret('srt')}&streamid=${secret('streamId')}&x=%`],
    },
  });
  await start({ stream: { protocol: 'WEBSOCKET', urls: [`ws://127.0.0.1/?token=${secret('wsToken')}`] } });
  await start({
    stream: {
      protocol: 'RTMP',
      urls: [`mux://${secret('mux')}`, `twitch://${secret('twitch')}`, `ftp://${secret('ftp')}`],
    },
  });
  await start({
    file,
    custom_base_url: `http://u:${secret('page')}@127.0.0.1/?token=${secret('pageToken')}`,
  });
  await start({
    file,
    webhooks: [{ url: `http://u:${secret('hook')}@127.0.0.1:9/`, signing_key: secret('signingKey') }],
  });
  await call('Egress/StartTrackEgress', {
    room_name: ROOM,
    track_id: 'TR_none',
    websocket_url: `ws://u:${secret('ws')}@127.0.0.1/`,
  });
  await call('Egress/StartWebEgress', { url: `http://u:${secret('web')}@127.0.0.1/`, file });
  await call('Egress/UpdateStream', { egress_id: 'EG_none', add_output_urls: [destination('127.0.0.1:9')] });
  await call('Egress/StopEgress', { egress_id: secret('egressId') });
  // Where the decoder complains of a value, and where it is no JSON at all.
  await call('Egress/StartRoomCompositeEgress', {
    room_name: 5,
    file: { ...file, s3: { secret: [secret('inList')] } },
  });
  await call(
    'Egress/StartRoomCompositeEgress',
    `{"room_name": "${ROOM}", "file": {"s3": {"secret": "${secret('cut')}"`,
  );
  await call('Egress/StartRoomCompositeEgress', secret('noJson'), { 'content-type': 'application/protobuf' });
  await call('Egress/StartRoomCompositeEgress', {}, { 'content-type': 'text/plain' });
}

async function ingressErrors(): Promise<void> {
  const create = (url: string) =>
    call('Ingress/CreateIngress', {
      input_type: 'URL_INPUT',
      room_name: ROOM,
      participant_identity: 'p',
      url,
    });
  const password = secret('ingressPassword');
  const urls = ['10.0.0.1', '127.0.0.2', '[::1', '127.0.0.1:9'].map(
    (host) => `http://u:${password}@${host}/live/x.m3u8?token=${secret('urlToken')}`,
  );
  for (const url of urls) await create(url);
  await create(`rtsp://cam:${secret('camera')}@127.0.0.1:9/x`);
  await create(`srt://127.0.0.1:9?passphrase=${secret('pass')}&streamid=${secret('id')}`);
  await create(`srt://127.0.0.1:9?passphrase=${secret('p').slice(0, 4)}`);
  await create(`ftp://u:${secret('ftp')}@127.0.0.1/`);
  await create(`file:///${secret('file')}`);
  await call('Ingress/UpdateIngress', {
    ingress_id: 'IN_none',
    stream_key: secret('key'),
    url: `http://u:${secret('u')}@x/`,
  });
  await call('Ingress/CreateIngress', {
    input_type: 'RTMP_INPUT',
    url: `http://u:${secret('wrongInput')}@127.0.0.1/`,
  });
}

/** Those who come with keys and tokens that open nothing. */
async function strangers(): Promise<void> {
  const ask = async (path: string, init: RequestInit = {}): Promise<void> => {
    const response = await fetch(`${sluice.url}${path}`, init);
    answers.push(await response.text());
    outcomes.push(`${init.method ?? 'GET'} /${path.split(/[/?]/)[1]} ${response.status}`);
  };
  const sdp = { 'content-type': 'application/sdp' };
  await ask(`/whip/${secret('whipKey')}`, { method: 'POST', headers: sdp, body: 'v=0\r\n' });
  await ask('/whip', {
    method: 'POST',
    headers: { ...sdp, authorization: `Bearer ${secret('bearer')}` },
    body: 'v=0\r\n',
  });
  await ask(`/whip?access_token=${secret('query')}`, { method: 'POST', headers: sdp, body: 'v=0\r\n' });
  await ask(`/whep/sessions/${secret('session')}`, { method: 'PATCH', headers: sdp, body: 'a=b' });
  await ask(`/files/x.mp4?access_token=${secret('filesToken')}`);
  await ask(`/twirp/livekit.Egress/Nothing?access_token=${secret('twirp')}`, { method: 'POST' });
  const [head = '', body = '', signature = ''] = auth.split('.');
  secrets.set('a signature', signature);
  await ask('/twirp/livekit.Egress/ListEgress', {
    ...{ method: 'POST', body: '{}' },
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${head}.${body}.${secret('forged')}`,
    },
  });
  const bridge = new WebSocket(`${sluice.url.replace('http', 'ws')}/bridge?access_token=${secret('bridge')}`);
  bridge.on('error', () => undefined);
  const [code] = (await once(bridge, 'close')) as [number];
  outcomes.push(`bridge ${code}`);
  const socket = createConnection(rtmpPort, '127.0.0.1');
  socket.on('error', () => undefined).resume();
  socket.write(publishBytes(secret('rtmpKey')));
  await once(socket, 'close');
  outcomes.push('rtmp closed');
}

/** Jobs that a worker takes and that fail: what FFmpeg and the S3 client say is in the log and in the infos. */
async function failingJobs(): Promise<void> {
  const info = await call('Egress/StartRoomCompositeEgress', {
    room_name: ROOM,
    file_outputs: [{ filepath: 'y.mp4', s3: { ...s3(), force_path_style: true } }],
    stream_outputs: [{ protocol: 'RTMP', urls: [destination('127.0.0.1:9')] }],
  });
  const { egress_id } = info;
  expect(egress_id, JSON.stringify(info)).toBeTypeOf('string');
  await sluice.waitForEgress(egress_id as string, ({ status }) => status !== EgressStatus.EGRESS_STARTING);
  await call('Egress/UpdateStream', {
    egress_id,
    add_output_urls: [destination('127.0.0.1:9'), destination('10.3.3.3')],
  });
  await call('Egress/UpdateStream', { egress_id, remove_output_urls: [destination('elsewhere')] });
  await sleep(1500);
  await call('Egress/ListEgress', {});
  await call('Ingress/ListIngress', {});
  await call('Egress/StopEgress', { egress_id });
  const ended = await sluice.waitForEgress(
    egress_id as string,
    ({ status }) => status >= EgressStatus.EGRESS_COMPLETE,
  );
  answers.push(ended.toJsonString());
}

test('no error path shows a secret', async () => {
  await call('RoomService/CreateRoom', { name: ROOM, empty_timeout: 600 });
  await Promise.all([failingJobs(), egressErrors(), ingressErrors(), strangers()]);
  await call('Egress/ListEgress', {});
  const { items } = (await call('Ingress/ListIngress', {})) as {
    items: { ingress_id: string; stream_key: string }[];
  };
  await expect.poll(() => webhooks.received.map(({ event }) => event.event)).toContain('egress_ended');
  for (const { ingress_id } of items) await call('Ingress/DeleteIngress', { ingress_id });
  // Its last words count, too. What still waits for the S3 that is not there keeps nobody.
  const stopping = performance.now();
  await sluice.stop();
  expect(performance.now() - stopping, 'ms to end').toBeLessThan(15_000);

  const log = sluice.main.output;
  const texts = {
    log,
    answers: answers.join('\n'),
    webhooks: webhooks.attempts.map(({ body }) => body).join('\n'),
  };
  expect(log.length, 'all of the log is here').toBeLessThan(2_000_000);
  expect(log).toContain('"level":"debug"');
  process.stdout.write(
    `${secrets.size} secrets, ${outcomes.length} calls with ${new Set(outcomes).size} outcomes, ` +
      `${log.split('\n').length} lines of log, ${webhooks.attempts.length} webhooks\n`,
  );
  const leaks = Object.entries(texts).flatMap(([where, text]) =>
    [...secrets].flatMap(([name, value]) => {
      const at = text.indexOf(value);
      return at < 0 ? [] : [`${where} shows ${name}: ${text.slice(Math.max(0, at - 300), at + 60)}`];
    }),
  );
  expect(leaks).toEqual([]);
  // That errors were reached, of each kind.
  const refused = outcomes.filter((outcome) => !outcome.endsWith(' 200'));
  expect(refused.length).toBeGreaterThan(40);
  expect(outcomes.join('\n')).toMatch(/invalid_argument/);
  expect(outcomes.join('\n')).toMatch(/malformed/);
  expect(outcomes.join('\n')).toMatch(/not_found/);
  expect(outcomes.join('\n')).toMatch(/unimplemented/);
  expect(outcomes).toContain('bridge 4004');
  expect(items.length, 'ingresses that failed at a worker').toBeGreaterThan(1);
}, 60_000);
