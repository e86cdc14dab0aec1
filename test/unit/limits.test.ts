import { describe, expect, it } from 'vitest';
import { ConnectionCount, peerOf } from '../../src/limits/connections.ts';
import { onceInAWhile } from '../../src/limits/once-in-a-while.ts';
import { RateLimit } from '../../src/limits/rate.ts';
import { sameSecret } from '../../src/auth/same-secret.ts';

describe('a peer', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002:ffff::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    [undefined, 'unknown'],
  ])('%s counts as %s', (address, peer) => {
    expect(peerOf(address)).toBe(peer);
  });
});

describe('connections', () => {
  it('are counted altogether and by peer, and places come back once', () => {
    const count = new ConnectionCount({ maxConnections: 3, maxConnectionsPerAddress: 2 });
    const leave = count.enter('192.0.2.1') as () => void;
    count.enter('::ffff:192.0.2.1');
    expect(count.enter('192.0.2.1')).toBe('too many connections from this address');
    count.enter('192.0.2.2');
    expect(count.enter('192.0.2.3')).toBe('too many connections');
    leave();
    leave();
    expect(count.open).toBe(2);
    expect(count.enter('192.0.2.1')).toBeTypeOf('function');
    expect(count.enter('192.0.2.1')).toMatch('too many');
  });
});

describe('a rate', () => {
  it('lets a burst through, then so many a second, each peer on its own', () => {
    const rate = new RateLimit({ perSecond: 10, burst: 3 });
    expect([0, 0, 0].map(() => rate.take('a', 1000))).toEqual([0, 0, 0]);
    expect(rate.take('a', 1000)).toBeCloseTo(0.1);
    expect(rate.take('b', 1000)).toBe(0);
    expect(rate.take('a', 1050)).toBeCloseTo(0.05);
    expect(rate.take('a', 1101)).toBe(0);
    expect([0, 0, 0, 0].map(() => rate.take('a', 60_000) === 0)).toEqual([true, true, true, false]);
  });

  it('remembers only so many peers', () => {
    const rate = new RateLimit({ perSecond: 1, burst: 1, maxPeers: 2 });
    for (const peer of ['a', 'b', 'c']) rate.take(peer, 0);
    expect(rate.take('c', 0)).toBe(1);
    expect(rate.take('a', 0)).toBe(0);
  });
});

it('what others cause is told once in a while', () => {
  const told: string[] = [];
  const tell = onceInAWhile((text: string) => told.push(text), 60_000);
  for (const text of ['first', 'second', 'third']) tell(text);
  expect(told).toEqual(['first']);
});

it('secrets of any length are compared', () => {
  expect(sameSecret('secret', 'secret')).toBe(true);
  for (const wrong of ['', 'secre', 'secret!', 'Secret']) expect(sameSecret(wrong, 'secret')).toBe(false);
});
