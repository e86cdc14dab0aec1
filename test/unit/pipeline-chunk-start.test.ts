import { expect, test } from 'vitest';

import { chunkStart } from '../../pipelines/shared/chunk-start.ts';

/** A TS packet with a PES header (ISO/IEC 13818-1) of that PTS, behind an adaptation field if asked. */
function pes(pts: number, adaptation = 0): number[] {
  const high = Math.floor(pts / 2 ** 30) & 7;
  const low = pts % 2 ** 30;
  const stamp = [
    0x21 | (high << 1),
    (low >> 22) & 0xff,
    ((low >> 14) & 0xfe) | 1,
    (low >> 7) & 0xff,
    ((low << 1) & 0xfe) | 1,
  ];
  const head = [
    0x47,
    0x41,
    0x00,
    adaptation ? 0x30 : 0x10,
    ...(adaptation ? [adaptation, ...new Array<number>(adaptation).fill(0xff)] : []),
  ];
  const packet = [...head, 0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, ...stamp];
  return [...packet, ...new Array<number>(188 - packet.length).fill(0)];
}
const pat = [0x47, 0x40, 0, 0x10, ...new Array<number>(184).fill(0xff)];
const HOUR = 3600 * 90_000;

test.each([
  ['zero', HOUR, 0, 0],
  ['2.5 s', HOUR + 225_000, 0, 2.5e9],
  ['just before the wrap', 2 ** 33 - 90_000, 91_000e9, ((2 ** 33 - 90_000 - HOUR) / 90_000) * 1e9],
  ['after 30 hours', (HOUR + 30 * HOUR) % 2 ** 33, 108_001e9, 108_000e9],
  ['before zero', HOUR - 1920, 0, -21_333_333],
])('a transport stream that begins at %s', (_, pts, near, expected) => {
  for (const adaptation of [0, 7]) {
    const head = new Uint8Array([...pat, ...pes(pts, adaptation)]);
    expect(chunkStart('mpegts', head, near)).toBeCloseTo(expected, -1);
  }
});

test('what has no frame has no start', () => {
  expect(chunkStart('mpegts', new Uint8Array(pat), 0)).toBeUndefined();
  expect(chunkStart('mpegts', new Uint8Array(), 0)).toBeUndefined();
  expect(chunkStart('mpegts', new Uint8Array(400).fill(1), 0)).toBeUndefined();
  expect(chunkStart('matroska', new Uint8Array(400), 0)).toBeUndefined();
});

test.each([
  ['known size', [0x40, 0x40]],
  ['unknown size of eight bytes', [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ['unknown size of one byte', [0xff]],
])('a Matroska cluster of %s', (_, size) => {
  const head = [
    0x1a,
    0x45,
    0xdf,
    0xa3,
    0x1f,
    0x43,
    0xb6,
    0x75,
    ...size,
    0xe7,
    0x82,
    0x0b,
    0xb8,
    ...new Array<number>(40).fill(0),
  ];
  expect(chunkStart('matroska', new Uint8Array(head), 0)).toBe(3e9);
});
