/** Twirp calls, JSON and protobuf, of everything that is implemented, against the real HTTP server and Redis. */
import assert from 'node:assert/strict';
import { TrackSource } from '@livekit/protocol';
import { EgressService } from '../../src/api/egress-service.ts';
import { IngressService } from '../../src/api/ingress-service.ts';
import { RoomService } from '../../src/api/room-service.ts';
import type { RpcService } from '../../src/api/rpc.ts';
import { rawCall, startApi, token } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { mutate } from '../support/mutate.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { visible } from '../support/sfu.ts';
import { among, damageJson, damageText } from './damage.ts';
import { fuzzer } from './fuzzer.ts';
import type { FuzzInput, Next, Outcome, Target } from './fuzzer.ts';
import { makeMessage } from './messages.ts';
import type { Hints } from './messages.ts';
import { OWN_METHODS, ownBody } from './own-calls.ts';

interface Call extends FuzzInput {
  path: string;
  contentType: string;
}

const ROOM = 'fuzz-room';
const CODES = /^[a-z_]{4,40}$/;
/** Only the messages' types of it are used. */
const NOTHING = undefined as never;
const SERVICES: readonly RpcService[] = [
  new RoomService(NOTHING),
  new EgressService(NOTHING),
  new IngressService(NOTHING),
];
const METHODS = SERVICES.flatMap((service) =>
  Object.entries(service.methods).flatMap(([name, method]) =>
    'input' in method ? [{ service: service.name, name, input: method.input }] : [],
  ),
);

class Server implements Target<Call> {
  readonly #api: TestApi;
  readonly #auth: string;
  #sender: RtpSender | undefined;
  #track = '';
  /** Those that a 200 told of. */
  readonly #egresses = new Set<string>();
  readonly #ingresses = new Set<string>();
  /** A room has been created: it may have asked for egresses of its own. */
  #mayStart = false;

  constructor(api: TestApi, auth: string) {
    this.#api = api;
    this.#auth = auth;
  }

  /** A room with a participant and a track; calls may have taken any of it away. */
  async prepare(): Promise<void> {
    const there = this.#api.sfu.room(ROOM);
    if (there?.participants.get('ann')?.tracks.size === 1) return;
    const room =
      there ?? (await this.#api.sfu.createRoom({ name: ROOM, emptyTimeout: 3600, departureTimeout: 3600 }));
    this.#sender?.close();
    room.participants.get('ann')?.close('removed');
    const ann = room.join({ identity: 'ann', permissions: visible });
    this.#sender = await RtpSender.video(room);
    this.#track = ann.publish(this.#sender.producer, { source: TrackSource.CAMERA }).sid;
  }

  make(index: number, next: Next): Call {
    if (next() < 0.2) return this.#makeOwn(index, next);
    const { service, name, input } = among(next, METHODS);
    const message = makeMessage(input, next, this.#hints());
    const description = `${service}.${name}, ${index}`;
    const path = `/twirp/livekit.${service}/${name}`;
    const json = next() < 0.6;
    const contentType = json ? 'application/json' : 'application/protobuf';
    const damage = next();
    let bytes: Buffer;
    if (!json) {
      const binary = Buffer.from(message.toBinary());
      bytes = damage < 0.4 && binary.length > 0 ? mutate(binary, next) : binary;
    } else {
      const value = message.toJson({ useProtoFieldName: next() < 0.5 });
      const damaged = damage < 0.4 ? damageJson(value, next) : value;
      const text = JSON.stringify(damaged) ?? '';
      bytes = damage > 0.85 ? damageText(text, next) : Buffer.from(text);
    }
    const other =
      next() < 0.03 ? among(next, ['application/json; charset=utf-16', 'text/plain', '']) : contentType;
    return { description, bytes, path, contentType: other };
  }

  #makeOwn(index: number, next: Next): Call {
    const method = among(next, OWN_METHODS);
    const ids = { egresses: ['unknown', ...[...this.#egresses].slice(-3)], tracks: [this.#track, 'TR_none'] };
    const body = ownBody(method, next, this.#hints(), ids);
    const damage = next();
    const text = JSON.stringify(damage < 0.4 ? damageJson(body, next) : body) ?? '';
    return {
      ...{ description: `sluice.Egress.${method}, ${index}`, path: `/twirp/sluice.Egress/${method}` },
      bytes: damage > 0.85 ? damageText(text, next) : Buffer.from(text),
      contentType: 'application/json',
    };
  }

  /** What is there: the room, its participant and tracks, and some of what earlier calls made. */
  #hints(): Hints {
    const some = (ids: ReadonlySet<string>): string[] => ['unknown', ...[...ids].slice(-3)];
    return [
      [/^(room|room_name)$/, [ROOM, ROOM, 'other-room']],
      [/identity$/, ['ann', 'ann', 'nobody']],
      [/track_(s)?id$/, [this.#track, 'TR_none']],
      [/egress_id$/, some(this.#egresses)],
      [/ingress_id$/, some(this.#ingresses)],
      [
        /^(url|urls|add_output_urls|remove_output_urls)$/,
        ['rtmp://127.0.0.1/live/key', 'http://127.0.0.1:9/a.mp4'],
      ],
      [/^(filepath|filename_prefix|playlist_name)$/, ['recordings/{room_name}-{time}', 'x.mp4', 'a/b.m3u8']],
      [/^endpoint$/, ['http://127.0.0.1:9000']],
      [/^layout$/, ['grid', 'speaker']],
      [
        /^(file|file_outputs|stream|stream_outputs|segments|segment_outputs|name|input_type|s3|bucket)$/,
        ['a'],
      ],
    ];
  }

  async run({ path, contentType, bytes }: Call): Promise<Outcome> {
    await this.prepare();
    const answer = await rawCall(`${this.#api.url}${path}`, {
      auth: this.#auth,
      headers: { 'content-type': contentType },
      body: new Uint8Array(bytes),
    });
    if (answer.status === 200) {
      assert.equal(answer.contentType, contentType.split(';')[0]);
      this.#keep(path, answer.contentType === 'application/json' ? answer.json() : undefined);
      if (answer.contentType === 'application/protobuf') this.#keepBinary(path, answer.bytes);
      return { kind: `200 ${path.slice('/twirp/'.length)}`, past: true };
    }
    assert.equal(answer.contentType, 'application/json', `an error of type ${answer.contentType}`);
    const { code, msg, ...rest } = answer.json() as { code: string; msg: string; meta?: object };
    assert.ok(typeof code === 'string' && CODES.test(code) && typeof msg === 'string' && msg !== '');
    assert.deepEqual(
      Object.keys(rest).filter((name) => name !== 'meta'),
      [],
    );
    // 501 is what Twirp has for what is known and not implemented.
    const refused = (answer.status >= 400 && answer.status < 500) || code === 'unimplemented';
    assert.ok(refused, `${answer.status} ${code}: ${msg}`);
    assert.ok(msg.length < 3000, `a message of ${msg.length} characters`);
    assert.doesNotMatch(msg, /\n\s+at |node_modules|\.ts:\d|undefined|\[object/);
    return { kind: `${answer.status} ${code}`, past: code !== 'malformed' && code !== 'bad_route' };
  }

  #keep(path: string, answer: Record<string, unknown> | undefined): void {
    if (/\/Start\w*Egress$/.test(path) && typeof answer?.egress_id === 'string')
      this.#egresses.add(answer.egress_id);
    if (path.endsWith('/CreateRoom')) this.#mayStart = true;
    if (path.endsWith('/CreateIngress') && typeof answer?.ingress_id === 'string') {
      this.#ingresses.add(answer.ingress_id);
    }
  }

  /** In both messages the id is the first field, a string. */
  #keepBinary(path: string, bytes: Buffer): void {
    const id = bytes.toString('latin1', 2, 2 + (bytes[1] ?? 0));
    this.#keep(path, { egress_id: id, ingress_id: id });
  }

  async #list(service: string, method: string): Promise<Record<string, unknown>[]> {
    const answer = await rawCall(`${this.#api.url}/twirp/livekit.${service}/${method}`, {
      auth: this.#auth,
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    assert.equal(answer.status, 200);
    return answer.json().items as Record<string, unknown>[];
  }

  /** What was refused has left nothing, and what was answered is there. */
  async check(): Promise<void> {
    const egresses = await this.#list('Egress', 'ListEgress');
    const listed = egresses.map(({ egress_id }) => egress_id as string);
    for (const id of this.#egresses) assert.ok(listed.includes(id), `${id} is not there`);
    if (!this.#mayStart) assert.equal(listed.length, this.#egresses.size);
    const ingresses = await this.#list('Ingress', 'ListIngress');
    for (const { ingress_id } of ingresses) assert.ok(this.#ingresses.has(ingress_id as string));
  }

  async close(): Promise<void> {
    this.#sender?.close();
    await this.#api.stop();
  }
}

export const twirpFuzzer = fuzzer<Call>({
  name: 'twirp',
  about: 'calls of the API, JSON and protobuf, at a real server with a real Redis',
  count: 400,
  async start() {
    const api = await startApi();
    const auth = await token(
      {
        ...{ room: ROOM, roomAdmin: true, roomCreate: true, roomList: true, roomRecord: true },
        ...{ ingressAdmin: true },
      },
      { ttl: 24 * 3600 },
    );
    const server = new Server(api, auth);
    await server.prepare();
    return server;
  },
});
