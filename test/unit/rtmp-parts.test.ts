/** The RTMP server's small parts: AMF0, handshake, aggregates, timestamps, names, codecs, deadlines, FLV. */
import { describe, expect, test } from 'vitest';
import { splitAggregate } from '../../src/ingress/inputs/rtmp/aggregate.ts';
import { decodeAmf0, decodeFirst, encodeAmf0 } from '../../src/ingress/inputs/rtmp/amf0.ts';
import type { AmfValue } from '../../src/ingress/inputs/rtmp/amf0.ts';
import { judgeAudio, judgeVideo } from '../../src/ingress/inputs/rtmp/codecs.ts';
import { overdue } from '../../src/ingress/inputs/rtmp/deadlines.ts';
import type { Stage } from '../../src/ingress/inputs/rtmp/deadlines.ts';
import { RtmpError } from '../../src/ingress/inputs/rtmp/errors.ts';
import { flvHeader, flvTag } from '../../src/ingress/inputs/rtmp/flv.ts';
import { Handshake } from '../../src/ingress/inputs/rtmp/handshake.ts';
import { publishedName } from '../../src/ingress/inputs/rtmp/names.ts';
import { TimestampUnwrapper } from '../../src/ingress/inputs/rtmp/timestamps.ts';
import { DEFAULT_LIMITS } from '../../src/ingress/inputs/rtmp/types.ts';
import { clientHandshake } from '../support/rtmp-bytes.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('AMF0', () => {
  test('what is written is read', () => {
    const object = new Map<string, AmfValue>([
      ['__proto__', 'no harm'],
      ['list', [1, null, undefined]],
      ['inner', new Map<string, AmfValue>([['yes', true]])],
    ]);
    const values: AmfValue[] = ['connect', 1.5, false, object, '', 'ключ'];
    expect(decodeAmf0(encodeAmf0(...values))).toEqual(values);
  });

  test.each<[string, string, AmfValue[]]>([
    ['number', '00 3ff0000000000000', [1]],
    ['string', '02 0002 6869', ['hi']],
    ['long string', '0c 00000002 6869', ['hi']],
    ['XML', '0f 00000002 6869', ['hi']],
    ['ECMA array, its count a lie', '08 ffffffff 0001 61 05 0000 09', [new Map([['a', null]])]],
    ['typed object', '10 0001 54 0001 61 0101 0000 09', [new Map([['a', true]])]],
    ['date', '0b 3ff0000000000000 0000', [1]],
    ['unsupported', '0d', [undefined]],
    ['strict array', '0a 00000002 05 06', [[null, undefined]]],
  ])('%s', (_name, bytes, values) => {
    expect(decodeAmf0(hex(bytes))).toEqual(values);
  });

  test.each<[string, Buffer, RegExp]>([
    ['a string beyond the end', hex('02 ffff 61'), /ends beyond its message/],
    ['half a number', hex('00 3ff0'), /ends beyond/],
    ['an object without an end', hex('03 0001 61 05'), /ends beyond/],
    ['a long string of 4 GiB', hex('0c ffffffff 61'), /ends beyond/],
    ['a reference', hex('07 0001'), /marker 7 is not supported/],
    ['AMF3', hex('11 01'), /marker 17/],
    ['an array of 4 billion', hex('0a ffffffff 05'), /longer than its message/],
    [
      'arrays in arrays in arrays',
      Buffer.concat(Array<Buffer>(1000).fill(hex('0a 00000001'))),
      /nested deeper than 16/,
    ],
    [
      'objects in objects',
      Buffer.concat(Array<Buffer>(1000).fill(hex('03 0001 61'))),
      /nested deeper than 16/,
    ],
    ['too many', Buffer.alloc(60_000, 5), /more than 2000/],
    ['too many in an array', Buffer.concat([hex('0a 0000c350'), Buffer.alloc(50_000, 5)]), /more than 2000/],
  ])('refused: %s', (_name, bytes, message) => {
    expect(() => decodeAmf0(bytes)).toThrow(RtmpError);
    expect(() => decodeAmf0(bytes)).toThrow(message);
  });

  test('the first value, and where it ends', () => {
    expect(decodeFirst(hex('02 0002 6869 ffff'))).toEqual({ value: 'hi', length: 5 });
  });
});

describe('handshake', () => {
  test.each([
    ['simple', 0],
    ['as Flash has it, with a version', 0x80000702],
  ])('%s, in pieces of any size, with more behind it', (_name, version) => {
    const client = Buffer.concat([clientHandshake(version), Buffer.from('next')]);
    for (const step of [client.length, 1, 1000]) {
      const sent: Buffer[] = [];
      const handshake = new Handshake((bytes) => sent.push(bytes));
      let rest: Buffer | undefined;
      let at = 0;
      for (; rest === undefined && at < client.length; at += step) {
        if (at + step <= 1536) expect(sent).toEqual([]);
        rest = handshake.feed(client.subarray(at, at + step));
      }
      expect(Buffer.concat([rest!, client.subarray(at)]).toString()).toBe('next');
      const answer = Buffer.concat(sent);
      expect(answer).toHaveLength(1 + 2 * 1536);
      expect(answer.subarray(0, 9)).toEqual(hex('03 00000000 00000000'));
      expect(answer.subarray(1 + 1536), 'S2 echoes C1').toEqual(client.subarray(1, 1 + 1536));
    }
  });

  test.each([
    [0x16, /TLS was spoken on a port for RTMP/],
    [0x47, /this is no RTMP/],
    [6, /RTMPE is not supported/],
    [4, /version 4 is not supported/],
  ])('a first byte of %i', (byte, message) => {
    expect(() => new Handshake(() => undefined).feed(Buffer.from([byte]))).toThrow(message);
  });
});

describe('aggregates', () => {
  const tag = (type: 'audio' | 'video' | 'data', timestamp: number, size: number) =>
    flvTag({ type, timestamp, payload: Buffer.alloc(size, size) });
  const split = (timestamp: number, ...tags: Buffer[]) =>
    splitAggregate({ type: 22, streamId: 1, timestamp, payload: Buffer.concat(tags) }).map(
      (message) => `${message.type}/${message.streamId} at ${message.timestamp}: ${message.payload.length}`,
    );

  test('the first has the time of the aggregate, the others keep their distance', () => {
    const tags = [tag('video', 500, 9), tag('audio', 510, 5), tag('video', 490, 0)];
    expect(split(7000, ...tags)).toEqual(['9/1 at 7000: 9', '8/1 at 7010: 5', '9/1 at 6990: 0']);
    const wrapped = ['9/1 at 4294967290: 9', '8/1 at 4: 5', '9/1 at 4294967280: 0'];
    expect(split(0xfffffffa, ...tags), 'over the wrap').toEqual(wrapped);
    expect(split(5, tag('audio', 0x1234567, 3)), 'the upper byte of the time').toEqual(['8/1 at 5: 3']);
  });

  test('the last back pointer may be missing; nothing else', () => {
    const whole = tag('video', 0, 9);
    expect(split(0, whole.subarray(0, -4))).toEqual(['9/1 at 0: 9']);
    expect(() => split(0, whole.subarray(0, -5))).toThrow(/ends within one of its messages/);
    expect(() => split(0, whole, whole.subarray(0, 5))).toThrow(/ends within a header/);
    expect(split(0)).toEqual([]);
  });
});

describe('timestamps', () => {
  const unwrapped = (...times: number[]) => {
    const timestamps = new TimestampUnwrapper();
    return times.map((time) => timestamps.media(time));
  };
  test('grow on over the wrap, again and again', () => {
    expect(unwrapped(0xfffffff0, 0x10, 5, 0x20)).toEqual([
      2 ** 32 - 16,
      2 ** 32 + 16,
      2 ** 32 + 5,
      2 ** 32 + 32,
    ]);
    const steps = Array.from({ length: 12 }, (_, step) => (step * 0x40000000) % 2 ** 32);
    expect(unwrapped(...steps)).toEqual(steps.map((_, step) => step * 0x40000000));
  });
  test('steps back stay steps back, and never get below 0', () => {
    expect(unwrapped(1000, 960, 20, 5000)).toEqual([1000, 960, 20, 5000]);
    expect(unwrapped(5, 0xfffffff0)).toEqual([5, 0]);
  });
  test('data at 0 does not move the time', () => {
    const timestamps = new TimestampUnwrapper();
    expect(timestamps.other(0)).toBe(0);
    expect(timestamps.media(0xf0000000)).toBe(0xf0000000);
    expect(timestamps.other(0)).toBe(2 ** 32);
    expect(timestamps.media(0xf0000010)).toBe(0xf0000010);
  });
});

test.each([
  ['live', 'key', 'live', 'key'],
  ['live/', 'key', 'live', 'key'],
  ['live/instance', 'key', 'live', 'key'],
  ['live/key', '', 'live', 'key'],
  ['/live/a/b/key/', undefined, 'live', 'key'],
  ['live', 'key?x=y', 'live', 'key'],
  ['live?token=a/b', 'key', 'live', 'key'],
  ['live', 'instance/key', 'live', 'key'],
  ['', 'key', '', 'key'],
  ['', 'live/key', 'live', 'key'],
])('path %j with %j: app %j, key %j', (app, name, expectedApp, streamKey) => {
  expect(publishedName(app, name ?? '')).toEqual({ app: expectedApp, streamKey });
});
test.each([
  ['live', ''],
  ['live', '?x=y'],
  ['', ''],
  ['live', 'a b'],
  ['live', 'ключ'],
  ['live', 'a\nb'],
  ['live', 'k'.repeat(257)],
])('no key: %j with %j', (app, name) => {
  expect(publishedName(app, name)).toBeUndefined();
});

test.each<[string, 'take' | 'skip' | RegExp]>([
  ['17 00 000000', 'take'],
  ['27 01 000000 00', 'take'],
  ['17 02 000000', 'take'],
  ['17 03 000000', 'skip'],
  ['17 01 0000', 'skip'],
  ['57 00', 'skip'],
  ['', 'skip'],
  ['12 00', /^Sorenson H.263 in RTMP is not supported; send H.264$/],
  ['1c 00 000000', /^HEVC /],
  ['1f 00', /^video codec 15 /],
  ['90 68766331', /^HEVC in RTMP is not supported; send H.264$/],
  ['91 61763031', /^AV1 /],
  ['93 76703039', /^VP9 /],
  ['96 01 68766331', /^HEVC /],
  ['90 61626364', /^enhanced video in RTMP/],
])('video %s', (bytes, verdict) => {
  const judged = judgeVideo(hex(bytes));
  if (typeof verdict === 'string') expect(judged).toBe(verdict);
  else expect(judged).toHaveProperty('refuse', expect.stringMatching(verdict));
});

test.each<[string, 'take' | 'skip' | RegExp]>([
  ['af 00 1210', 'take'],
  ['af 01 21', 'take'],
  ['af 02', 'skip'],
  ['2f ff', 'take'],
  ['e2 ff', 'take'],
  ['b6 00', 'take'],
  ['af', 'skip'],
  ['', 'skip'],
  ['7e 00', /^G.711 A-law in RTMP is not supported; send AAC$/],
  ['6e 00', /^Nellymoser /],
  ['90 4f707573', /^Opus /],
  ['9f', /^enhanced audio /],
])('audio %s', (bytes, verdict) => {
  const judged = judgeAudio(hex(bytes));
  if (typeof verdict === 'string') expect(judged).toBe(verdict);
  else expect(judged).toHaveProperty('refuse', expect.stringMatching(verdict));
});

test.each<[Stage, { stage?: number; bytes?: number; media?: number }, RegExp | undefined]>([
  ['handshake', { stage: 5001 }, /no RTMP handshake within 5000 ms/],
  ['handshake', { stage: 5000 }, undefined],
  ['commands', { stage: 10_001 }, /nothing was published within 10000 ms/],
  ['commands', { stage: 9000, bytes: 15_001 }, /not a byte for 15000 ms/],
  ['authorising', { stage: 9000, bytes: 60_000 }, undefined],
  ['authorising', { stage: 10_001 }, /try again/],
  ['live', { stage: 1e6, bytes: 15_001 }, /not a byte/],
  ['live', { stage: 1e6, media: 30_001 }, /no audio or video for 30000 ms/],
  ['live', { stage: 1e6, bytes: 15_000, media: 30_000 }, undefined],
  ['closed', { stage: 1e6, bytes: 1e6, media: 1e6 }, undefined],
])('deadline: %s after %j', (stage, elapsed, reason) => {
  const found = overdue(stage, { stage: 0, bytes: 0, media: 0, ...elapsed }, DEFAULT_LIMITS);
  if (reason) expect(found).toMatch(reason);
  else expect(found).toBeUndefined();
});

test('FLV', () => {
  expect(flvHeader({ audio: true, video: true })).toEqual(hex('464c56 01 05 00000009 00000000'));
  expect(flvHeader({ audio: false, video: true })[4]).toBe(1);
  const payload = hex('af 01');
  const tag = flvTag({ type: 'audio', timestamp: 2 ** 32 + 0x12345678, payload });
  expect(tag).toEqual(hex('08 000002 345678 12 000000 af01 0000000d'));
  expect(() => flvTag({ type: 'video', timestamp: 0, payload: Buffer.alloc(0x1000000) })).toThrow(RangeError);
});
