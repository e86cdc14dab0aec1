import { describe, expect, it } from 'vitest';
import { isLocalAddress, mediaAddress } from '../../src/bridge/media-address.ts';

const own = new Set(['127.0.0.1', '10.0.0.5', 'fd00::5']);
const any = { listenIp: '0.0.0.0' };

describe('the address a worker is told', () => {
  it.each([
    ['a worker on loopback, SFU on all addresses', '127.0.0.1', any, '127.0.0.1'],
    [
      'a worker on our own address, SFU on all',
      '10.0.0.5',
      { ...any, announcedAddress: '203.0.113.9' },
      '10.0.0.5',
    ],
    ['a worker here, SFU on one address', '127.0.0.1', { listenIp: '10.0.0.5' }, '10.0.0.5'],
    [
      'a worker elsewhere, address announced',
      '10.0.0.6',
      { ...any, announcedAddress: '203.0.113.9' },
      '203.0.113.9',
    ],
    ['a worker elsewhere, SFU on one address', '10.0.0.6', { listenIp: '10.0.0.5' }, '10.0.0.5'],
    ['a worker elsewhere, nothing configured', '10.0.0.6', any, '10.0.0.5'],
  ])('%s', (_, workerIp, addresses, expected) => {
    expect(mediaAddress(workerIp, addresses, '::ffff:10.0.0.5', own)).toBe(expected);
  });

  it('leaves IPv6 as it is', () => {
    expect(mediaAddress('fd00::6', { listenIp: '::' }, 'fd00::5', own)).toBe('fd00::5');
  });

  it('knows what is local', () => {
    expect(['127.8.8.8', '::1', '10.0.0.5', '10.0.0.6'].map((ip) => isLocalAddress(ip, own))).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
});
