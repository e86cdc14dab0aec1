/** Messages of workers on the bridge: each request is answered, or the socket closed for a reason; the room stays. */
import assert from 'node:assert/strict';
import { TrackSource } from '@livekit/protocol';
import { bridgeErrorSchema, bridgeRequestSchemas } from '../../src/bridge/protocol.ts';
import { startBridge } from '../support/bridge.ts';
import type { TestBridge } from '../support/bridge.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { sleep, visible } from '../support/sfu.ts';
import { among, damageJson, damageText, upTo } from './damage.ts';
import { fuzzer } from './fuzzer.ts';
import type { FuzzInput, Next, Outcome, Target } from './fuzzer.ts';

interface Worker extends FuzzInput {
  messages: (string | Buffer)[];
  identity: string;
}

const ROOM = 'fuzz';
/** The last request of each socket: its answer says that the others have been dealt with. */
const LAST = 1_000_003;
const SRTP = { cryptoSuite: 'AES_CM_128_HMAC_SHA1_80', keyBase64: Buffer.alloc(30, 7).toString('base64') };
const METHODS = Object.keys(bridgeRequestSchemas);
const CLOSINGS = [1000, 1001, 1006, 1007, 1009, 4001, 4002, 4003, 4004, 4005];

class Bridge implements Target<Worker> {
  readonly #bridge: TestBridge;
  readonly #sender: RtpSender;
  readonly #trackId: string;

  constructor(bridge: TestBridge, sender: RtpSender, trackId: string) {
    this.#bridge = bridge;
    this.#sender = sender;
    this.#trackId = trackId;
  }

  make(index: number, next: Next): Worker {
    const messages: (string | Buffer)[] = [];
    const join = { id: 1, method: 'join', params: { version: 1, attempt: 1 } };
    messages.push(next() < 0.08 ? this.#spoilt(join, next) : JSON.stringify(join));
    for (let id = 2; id < 4 + upTo(next, 8); id++) {
      const method = next() < 0.35 ? among(next, ['subscribe', 'publish']) : among(next, METHODS);
      const request = { id, method, params: this.#params(method, next) };
      messages.push(next() < 0.5 ? this.#spoilt(request, next) : JSON.stringify(request));
    }
    messages.push(JSON.stringify({ id: LAST, method: 'stats', params: { subscriptionId: 'none' } }));
    const bytes = Buffer.from(messages.map((message) => message.toString()).join('\n'));
    return { description: `worker ${index}`, messages, bytes, identity: `EG_fuzz${index}` };
  }

  /** Mostly still a request, so that what looks at parameters is tried, not only what looks at envelopes. */
  #spoilt(request: { id: number; method: string; params: unknown }, next: Next): string | Buffer {
    const kind = next();
    if (kind < 0.9) return JSON.stringify({ ...request, params: damageJson(request.params, next, 5) }) ?? '';
    if (kind < 0.96) return JSON.stringify(damageJson(request, next, 8)) ?? 'null';
    const bytes = damageText(JSON.stringify(request), next);
    return kind < 0.98 ? bytes : bytes.toString('latin1');
  }

  #params(method: string, next: Next): unknown {
    const address = {
      ip: among(next, ['127.0.0.1', '127.0.0.1', '::1', '10.0.0.1']),
      port: 20_000 + upTo(next, 99),
    };
    const srtp = next() < 0.4 ? { srtp: SRTP } : {};
    const subscriptionId = among(next, ['@subscription@', '@subscription@', '@subscription@', 'none', '']);
    switch (method) {
      case 'join':
        return { version: 1, attempt: upTo(next, 3) };
      case 'leave':
        return { keepSeat: next() < 0.5 };
      case 'subscribe':
        return { trackId: this.#trackId, ...address, ...srtp };
      case 'keyFrameCadence':
        return { subscriptionId, intervalMs: 2000 };
      case 'setPreferredLayers':
        return { subscriptionId, spatialLayer: upTo(next, 3), temporalLayer: 1 };
      case 'publish':
        return { ...this.#publication(next), ...address, ...srtp };
      case 'unpublish':
      case 'setMuted':
        return { publicationId: next() < 0.8 ? '@publication@' : 'none', muted: next() < 0.5 };
      default:
        return { subscriptionId };
    }
  }

  #publication(next: Next): object {
    const codec = {
      mimeType: 'video/VP8',
      payloadType: 96,
      clockRate: 90_000,
      parameters: {},
      rtcpFeedback: [],
    };
    const rtpParameters = { codecs: [codec], encodings: [{ ssrc: 1 + upTo(next, 1e9) }], cname: 'c' };
    return { kind: 'video', source: 'camera', name: 'n', rtpParameters };
  }

  async run({ messages, identity }: Worker, next: Next): Promise<Outcome> {
    const grants =
      next() < 0.3
        ? { hidden: false, canPublish: true, canSubscribe: true }
        : { hidden: true, recorder: true };
    const socket = this.#bridge.socket(await this.#bridge.token(identity, ROOM, grants));
    const ids: Record<string, string> = {};
    for (const message of messages) {
      if (socket.closed) break;
      const heard = socket.messages.length;
      await socket.send(
        typeof message === 'string' ? message.replaceAll(/@\w+@/g, (name) => ids[name] ?? 'none') : message,
      );
      // The ids in an answer are for what comes next; some just talk on.
      const patience = Date.now() + (next() < 0.8 ? 40 : 0);
      while (socket.messages.length === heard && !socket.closed && Date.now() < patience) await sleep(1);
      learn(socket.messages, ids);
    }
    const answered = (): boolean => socket.messages.some(({ id }) => id === LAST);
    while (!answered() && !socket.closed) await sleep(2);
    const closing = socket.closed;
    socket.terminate();
    if (closing) assert.ok(CLOSINGS.includes(closing.code), `closed with ${closing.code} ${closing.reason}`);
    let [done, refused] = [0, 0];
    for (const message of socket.messages) {
      if ('event' in message) continue;
      assert.ok(
        typeof message.id === 'number' && 'result' in message !== 'error' in message,
        JSON.stringify(message),
      );
      if ('result' in message) done += 1;
      else {
        const { code, message: text } = bridgeErrorSchema.parse(message.error);
        assert.notEqual(code, 'internal', text);
        assert.ok(text.length > 0 && text.length < 30_000, `a message of ${text.length} characters`);
        refused += 1;
      }
    }
    const end = closing ? `closed ${closing.code}` : 'to the end';
    return { kind: `${end}, ${Math.min(done, 4)} done, ${Math.min(refused, 4)} refused`, past: done > 0 };
  }

  /** Nobody is left but the publisher, and a sound worker finds the room as it was. */
  async check(): Promise<void> {
    const client = await this.#bridge.connect('EG_sound', ROOM);
    const deadline = Date.now() + 5000;
    const room = this.#bridge.sfu.room(ROOM);
    const left = (): string[] => [...(room?.participants.keys() ?? [])].sort();
    while (left().length > 2 && Date.now() < deadline) await sleep(20);
    assert.deepEqual(left(), ['EG_sound', 'ann']);
    const { remote } = await client.request('subscribe', {
      trackId: this.#trackId,
      ip: '127.0.0.1',
      port: 20_999,
    });
    assert.equal(remote.ip, '127.0.0.1');
  }

  async close(): Promise<void> {
    this.#sender.close();
    await this.#bridge.close();
  }
}

/** Ids of what this worker has subscribed to and published. */
function learn(messages: readonly Record<string, unknown>[], ids: Record<string, string>): void {
  for (const { result } of messages) {
    const { subscriptionId, publicationId } = (result ?? {}) as Record<string, string | undefined>;
    if (subscriptionId !== undefined) ids['@subscription@'] = subscriptionId;
    if (publicationId !== undefined) ids['@publication@'] = publicationId;
  }
}

export const bridgeFuzzer = fuzzer<Worker>({
  name: 'bridge',
  about: 'messages of workers on the bridge, after a join, at a real SFU',
  count: 100,
  async start() {
    const bridge = await startBridge(500, 0);
    const room = await bridge.sfu.createRoom({ name: ROOM, emptyTimeout: 3600, departureTimeout: 3600 });
    const ann = room.join({ identity: 'ann', permissions: visible });
    const sender = await RtpSender.video(room, { layers: 2 });
    const track = ann.publish(sender.producer, { source: TrackSource.CAMERA });
    return new Bridge(bridge, sender, track.sid);
  },
});
