/** Damaged RTMP sessions: real ones with bits, messages, lengths and orders changed. Seeded: the same every run. */
import { ChunkReader } from '../../src/ingress/inputs/rtmp/chunk-reader.ts';
import { chunkHeader, control, messageBytes } from '../support/rtmp-bytes.ts';
import type { ClientMessage } from '../support/rtmp-bytes.ts';
import { mutate, random } from '../support/mutate.ts';

export interface MutatedSession {
  /** Recording, kind of damage, and number. */
  description: string;
  bytes: Buffer;
  /** Cut into pieces as they would come. */
  pieces: Buffer[];
}

const HANDSHAKE = 1 + 2 * 1536;
/** 32-bit numbers at the edges. */
const EDGES = [
  0, 1, 2, 127, 128, 129, 0xffff, 0xfffffe, 0xffffff, 0x1000000, 0x7fffffff, 0x80000000, 0xfffffffe,
  0xffffffff,
];
/** AMF that is deep, long, or not what it says. */
const AMF_BOMBS = [
  Buffer.concat(Array<Buffer>(300).fill(Buffer.from('030001610a00000001', 'hex'))),
  Buffer.from('02000763 6f6e6e656374 0affffffff05'.replaceAll(' ', ''), 'hex'),
  Buffer.from('0c7fffffff41', 'hex'),
  Buffer.alloc(5000, 5),
  Buffer.from('08000000000000ff', 'hex'),
];

type Next = () => number;
const among = <T>(next: Next, list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
const upTo = (next: Next, most: number): number => Math.floor(next() * (most + 1));

/** The messages after the handshake, Set Chunk Size left out. */
export function messagesOf(session: Buffer): ClientMessage[] {
  const messages: ClientMessage[] = [];
  const limits = { maxBytes: () => 1e7, maxPendingBytes: () => 1e8, maxChunkStreams: 64 };
  new ChunkReader(limits, (message) => messages.push(message)).feed(session.subarray(HANDSHAKE));
  return messages;
}

const DAMAGE: Record<string, (session: Buffer, messages: ClientMessage[], next: Next) => Buffer> = {
  /** Bits anywhere, the handshake included; often cut off. */
  anywhere: (session, _messages, next) => mutate(session, next),

  /** Bits only after the handshake. */
  chunks: (session, _messages, next) =>
    Buffer.concat([session.subarray(0, HANDSHAKE), mutate(session.subarray(HANDSHAKE), next)]),

  /** The commands alone: what comes first decides the most. */
  commands: (session, _messages, next) => {
    const end = HANDSHAKE + 1 + upTo(next, 1200);
    return Buffer.concat([
      session.subarray(0, HANDSHAKE),
      mutate(session.subarray(HANDSHAKE, end), next),
      session.subarray(end),
    ]);
  },

  /** Whole messages changed, left out, doubled, exchanged; written in chunks of any size. */
  messages: (session, messages, next) => {
    const list = messages.map((message) => damagedMessage(message, next, 0.05));
    for (let i = upTo(next, 4); i > 0; i--) {
      const [from, to] = [upTo(next, list.length - 1), upTo(next, list.length - 1)];
      if (next() < 0.3) list.splice(from, 1 + upTo(next, 3));
      else if (next() < 0.5) list.splice(to, 0, list[from]!);
      else [list[from], list[to]] = [list[to]!, list[from]!];
      if (list.length === 0) break;
    }
    return rewritten(session, list, next);
  },

  /** Chunk headers that lie: of every type, with edges as times, lengths and ids, among what is right. */
  headers: (session, messages, next) => {
    const parts = [session.subarray(0, HANDSHAKE)];
    for (const message of messages.slice(0, 40)) {
      parts.push(messageBytes(3 + upTo(next, 3), message));
      if (next() < 0.06) {
        const header = {
          format: upTo(next, 3),
          id: among(next, [2, 3, 4, 5, 63, 64, 319, 320, 65_599]),
          time: among(next, EDGES),
          length: among(next, EDGES) & 0xffffff,
          type: among(next, [0, 1, 2, 3, 4, 5, 6, 8, 9, 15, 17, 18, 20, 22, 255]),
          streamId: among(next, EDGES),
        };
        parts.push(chunkHeader(header), Buffer.alloc(upTo(next, 300), upTo(next, 255)));
      }
    }
    return Buffer.concat(parts);
  },

  /** Control messages and times at the edges. */
  control: (session, messages, next) => {
    const parts = [session.subarray(0, HANDSHAKE)];
    const shift = among(next, EDGES);
    let chunkSize = 128;
    for (const message of messages) {
      if (next() < 0.05) {
        const type = 1 + upTo(next, 5);
        const value = among(next, EDGES);
        parts.push(control(type, value));
        if (type === 1 && value > 0 && value < 0x80000000) chunkSize = value;
      }
      const timestamp = next() < 0.03 ? among(next, EDGES) : (message.timestamp + shift) >>> 0;
      parts.push(messageBytes(3 + (message.type & 1), { ...message, timestamp }, chunkSize));
    }
    return Buffer.concat(parts);
  },
};

const KINDS = Object.keys(DAMAGE);

export interface SessionSource {
  name: string;
  bytes: Buffer;
  messages: ClientMessage[];
}

/** Recordings, with the messages that are in them. */
export const sourcesOf = (recordings: readonly { name: string; bytes: Buffer }[]): SessionSource[] =>
  recordings.map((recording) => ({ ...recording, messages: messagesOf(recording.bytes) }));

/** One of them, damaged; recordings and kinds of damage take turns with `index`. */
export function damagedSession(sources: readonly SessionSource[], index: number, next: Next): MutatedSession {
  const source = sources[index % sources.length]!;
  const kind = KINDS[Math.floor(index / sources.length) % KINDS.length]!;
  const bytes = DAMAGE[kind]!(source.bytes, source.messages, next);
  return { description: `${source.name}, ${kind}, ${index}`, bytes, pieces: cut(bytes, next) };
}

export function* mutations(
  recordings: readonly { name: string; bytes: Buffer }[],
  count: number,
  seed: number,
): Generator<MutatedSession> {
  const next = random(seed);
  const sources = sourcesOf(recordings);
  for (let i = 0; i < count; i++) yield damagedSession(sources, i, next);
}

function damagedMessage(message: ClientMessage, next: Next, share: number): ClientMessage {
  if (next() >= share) return message;
  switch (upTo(next, 4)) {
    case 0:
      return { ...message, type: among(next, [0, 3, 4, 5, 6, 8, 9, 15, 17, 18, 20, 22, 255]) };
    case 1:
      return { ...message, streamId: among(next, EDGES) };
    case 2:
      return { ...message, timestamp: among(next, EDGES) };
    case 3:
      return { ...message, payload: among(next, AMF_BOMBS) };
    default:
      return {
        ...message,
        payload: message.payload.length > 0 ? mutate(message.payload, next) : message.payload,
      };
  }
}

function rewritten(session: Buffer, messages: ClientMessage[], next: Next): Buffer {
  const chunkSize = among(next, [1, 7, 128, 4096, 60_000]);
  const parts = [session.subarray(0, HANDSHAKE), control(1, chunkSize)];
  for (const message of messages) parts.push(messageBytes(3 + upTo(next, 4), message, chunkSize));
  return Buffer.concat(parts);
}

/** Mostly as large as TCP has them; some sessions come in crumbs. */
function cut(bytes: Buffer, next: Next): Buffer[] {
  const most = next() < 0.03 ? 40 : 20_000;
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 1 + upTo(next, most);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}
