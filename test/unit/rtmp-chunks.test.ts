/** Messages out of chunks (RTMP 1.0, section 5.3), fed whole and byte by byte. */
import { describe, expect, test } from 'vitest';
import { ChunkReader } from '../../src/ingress/inputs/rtmp/chunk-reader.ts';
import { RtmpError } from '../../src/ingress/inputs/rtmp/errors.ts';
import type { Message } from '../../src/ingress/inputs/rtmp/message.ts';
import { writeMessage } from '../../src/ingress/inputs/rtmp/message.ts';
import { chunkHeader, control, messageBytes } from '../support/rtmp-bytes.ts';

const LIMITS = { maxBytes: () => 100_000, maxPendingBytes: () => 150_000, maxChunkStreams: 4 };

function read(bytes: Buffer, step = bytes.length): { messages: Message[]; pending: number } {
  const messages: Message[] = [];
  const reader = new ChunkReader(LIMITS, (message) => messages.push(message));
  for (let at = 0; at < bytes.length; at += step) reader.feed(bytes.subarray(at, at + step));
  return { messages, pending: reader.pendingBytes };
}

const bytes = (length: number, fill = 7) => Buffer.alloc(length, fill);
const brief = ({ type, streamId, timestamp, payload }: Message) =>
  `${type}/${streamId} at ${timestamp}: ${payload.length} of ${payload[0] ?? '-'}`;
const header = (format: number, time: number, length = 10, id = 4) =>
  chunkHeader({ format, id, time, length, type: 8, streamId: 1 });

const CASES: [name: string, bytes: Buffer[], messages: string[]][] = [
  ['type 0', [header(0, 50), bytes(10)], ['8/1 at 50: 10 of 7']],
  [
    'types 1, 2 and 3 add their delta, type 3 the last one again',
    [
      header(0, 50),
      bytes(10),
      header(1, 20, 4),
      bytes(4),
      header(2, 30),
      bytes(4),
      header(3, 0),
      bytes(4, 9),
    ],
    ['8/1 at 50: 10 of 7', '8/1 at 70: 4 of 7', '8/1 at 100: 4 of 7', '8/1 at 130: 4 of 9'],
  ],
  [
    'type 3 after type 0: its timestamp is the delta (5.3.1.2.4)',
    [header(0, 50), bytes(10), header(3, 0), bytes(10)],
    ['8/1 at 50: 10 of 7', '8/1 at 100: 10 of 7'],
  ],
  [
    'a message in chunks of 128',
    [header(0, 1, 300), bytes(128), header(3, 0), bytes(128), header(3, 0), bytes(44)],
    ['8/1 at 1: 300 of 7'],
  ],
  [
    'interleaved',
    [header(0, 1, 200, 4), bytes(128), header(0, 2, 10, 5), bytes(10, 5), header(3, 0, 0, 4), bytes(72)],
    ['8/1 at 2: 10 of 5', '8/1 at 1: 200 of 7'],
  ],
  [
    'ids of two and of three bytes',
    [header(0, 1, 1, 64), bytes(1), header(0, 2, 1, 319), bytes(1), header(0, 3, 1, 65_599), bytes(1)],
    ['8/1 at 1: 1 of 7', '8/1 at 2: 1 of 7', '8/1 at 3: 1 of 7'],
  ],
  [
    'extended timestamp, repeated by type 3',
    [
      header(0, 0x1234567, 200),
      bytes(128),
      chunkHeader({ format: 3, id: 4, extended: 0x1234567 }),
      bytes(72),
    ],
    ['8/1 at 19088743: 200 of 7'],
  ],
  [
    'extended timestamp, left out by type 3',
    [header(0, 0x1234567, 200), bytes(128), chunkHeader({ format: 3, id: 4 }), bytes(72)],
    ['8/1 at 19088743: 200 of 7'],
  ],
  [
    'left out, and the payload begins as the timestamp does',
    [
      header(0, 0x1234567, 130),
      bytes(128),
      chunkHeader({ format: 3, id: 4 }),
      Buffer.from([1, 2]),
      header(0, 9),
      bytes(10),
    ],
    ['8/1 at 19088743: 130 of 7', '8/1 at 9: 10 of 7'],
  ],
  [
    'extended delta, repeated as such and as the absolute time',
    [
      header(0, 100),
      bytes(10),
      header(1, 0x1000000, 200),
      bytes(128),
      chunkHeader({ format: 3, id: 4, extended: 0x1000000 }),
      bytes(72),
      header(1, 0x1000000, 200),
      bytes(128),
      chunkHeader({ format: 3, id: 4, extended: 100 + 2 * 0x1000000 }),
      bytes(72),
    ],
    ['8/1 at 100: 10 of 7', `8/1 at ${100 + 0x1000000}: 200 of 7`, `8/1 at ${100 + 2 * 0x1000000}: 200 of 7`],
  ],
  ['exactly 0xffffff is extended', [header(0, 0xffffff), bytes(10)], ['8/1 at 16777215: 10 of 7']],
  [
    'time wraps at 32 bits',
    [header(0, 0xfffffff0), bytes(10), header(1, 0x20, 1), bytes(1)],
    ['8/1 at 4294967280: 10 of 7', '8/1 at 16: 1 of 7'],
  ],
  [
    'chunk size up, in the middle of a message, and down',
    [
      header(0, 1, 300),
      bytes(128),
      control(1, 1000),
      header(3, 0),
      bytes(172),
      control(1, 1),
      header(0, 2, 3),
      bytes(1),
      header(3, 0),
      bytes(1),
      header(3, 0),
      bytes(1),
    ],
    ['8/1 at 1: 300 of 7', '8/1 at 2: 3 of 7'],
  ],
  [
    'aborted',
    [header(0, 1, 200), bytes(128), control(2, 4), header(0, 2, 1), bytes(1), control(2, 77)],
    ['8/1 at 2: 1 of 7'],
  ],
  ['empty', [header(0, 1, 0), header(1, 1, 0)], ['8/1 at 1: 0 of -', '8/1 at 2: 0 of -']],
  [
    'a chunk stream that begins with type 1',
    [chunkHeader({ format: 1, id: 2, time: 5, length: 4, type: 5 }), bytes(4)],
    ['5/0 at 5: 4 of 7'],
  ],
  [
    'larger than the first allocation',
    [control(1, 65_536), header(0, 1, 60_000), bytes(60_000)],
    ['8/1 at 1: 60000 of 7'],
  ],
];

describe.each(CASES)('%s', (_name, parts, expected) => {
  const whole = Buffer.concat(parts);
  test.each([whole.length, 1, 7, 129])('in pieces of %i bytes', (step) => {
    const { messages, pending } = read(whole, step);
    expect(messages.map(brief)).toEqual(expected);
    expect(pending).toBe(0);
  });
});

const BREACHES: [name: string, bytes: Buffer[], message: RegExp][] = [
  ['type 3 without a header before it', [header(3, 0)], /chunk stream 4 begins without a message header/],
  ['type 2 without a header before it', [header(2, 0)], /begins without a message header/],
  ['too long', [header(0, 0, 100_001)], /100001 bytes; 100000 are allowed/],
  [
    'too many chunk streams',
    [3, 4, 5, 6, 7].map((id) => header(0, 0, 1, id)).flatMap((part) => [part, bytes(1)]),
    /more than 4 chunk streams/,
  ],
  ['chunk size 0', [control(1, 0)], /0 is no chunk size/],
  ['chunk size with the highest bit', [control(1, 0x80000000)], /no chunk size/],
  ['a message within another', [header(0, 0, 200), bytes(128), header(0, 0, 200)], /begins within another/],
  [
    'too much unfinished',
    [control(1, 65_536), ...[3, 4, 5].flatMap((id) => [header(0, 0, 100_000, id), bytes(65_536)])],
    /more than 150000 bytes of unfinished messages/,
  ],
];
test.each(BREACHES)('breach: %s', (_name, parts, message) => {
  const whole = Buffer.concat(parts);
  for (const step of [whole.length, 1]) {
    expect(() => read(whole, step)).toThrow(RtmpError);
    expect(() => read(whole, step)).toThrow(message);
  }
});

test('absurd lengths cost what really comes, not what is announced', () => {
  const reader = new ChunkReader(
    { ...LIMITS, maxBytes: () => 0xffffff, maxPendingBytes: () => 64_000 },
    () => undefined,
  );
  for (const id of [3, 4, 5]) {
    reader.feed(Buffer.concat([header(0, 0, 0xffffff, id), bytes(128)]));
  }
  expect(reader.pendingBytes).toBeLessThanOrEqual(3 * 16_384);
});

test('what we write is read again', () => {
  const message = { type: 20, streamId: 1, payload: bytes(1000) };
  const { messages } = read(writeMessage(3, message, 128));
  expect(messages).toEqual([{ ...message, timestamp: 0 }]);
  const long = { type: 9, streamId: 1, timestamp: 0x2000000, payload: bytes(1000) };
  expect(read(messageBytes(4, long)).messages).toEqual([long]);
});
