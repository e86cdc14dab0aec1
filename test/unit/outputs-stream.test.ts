import { describe, expect, it } from 'vitest';
import { TapQueue } from '../../src/egress/outputs/stream/queue.ts';
import { explainFailure } from '../../src/egress/outputs/stream/reasons.ts';
import { OutputError } from '../../src/egress/outputs/errors.ts';
import { parseTarget, streamArguments } from '../../src/egress/outputs/stream/target.ts';
import { TapUnits } from '../../src/egress/outputs/stream/units.ts';
import type { TapUnit } from '../../src/egress/outputs/stream/units.ts';
import { inspectTs } from '../../src/egress/log/ts-inspect.ts';
import { chunkUnits } from '../support/log-fixtures.ts';
import { random } from '../support/mutate.ts';
import { adts, buildTs, picture, SPS_1080 } from '../support/ts-builder.ts';

function unitsOf(data: Buffer, cut: (left: number) => number): TapUnit[] {
  const found: TapUnit[] = [];
  const units = new TapUnits((unit) => found.push(unit));
  for (let at = 0; at < data.length;) {
    const length = cut(data.length - at);
    units.push(data.subarray(at, at + length));
    at += length;
  }
  return found;
}

describe('units of the tap', () => {
  const data = buildTs([...chunkUnits(0), ...chunkUnits(2)]);

  it('are the same however the bytes come, and lose none', () => {
    const next = random(5);
    const whole = unitsOf(data, (left) => left);
    const pieces = unitsOf(data, () => 1 + Math.floor(next() * 1000));
    expect(Buffer.concat(whole.map(({ bytes }) => bytes))).toEqual(data);
    expect(pieces.map(({ bytes }) => bytes)).toEqual(whole.map(({ bytes }) => bytes));
    expect(whole).toHaveLength(180);
    expect(whole.flatMap((unit, i) => (unit.start ? [i] : []))).toEqual([0, 90]);
  });

  it('are handed out as soon as they are whole', () => {
    const found: TapUnit[] = [];
    const units = new TapUnits((unit) => found.push(unit));
    units.push(buildTs([{ kind: 'video', at: 0, key: true }]));
    expect(found).toHaveLength(1);
  });

  it('can each be left out without harming another', () => {
    const next = random(9);
    const kept = unitsOf(data, (left) => left).filter((_, i) => i === 0 || next() < 0.7);
    const found = inspectTs(Buffer.concat(kept.map(({ bytes }) => bytes)), { closed: false, nearNs: 0 });
    expect((found.video?.frames ?? 0) + (found.audio?.frames ?? 0) / 2).toBe(kept.length);
  });

  it('to begin with carry tables, so that any of them is a stream of its own', () => {
    const start = unitsOf(data, (left) => left)[90]?.start;
    const unit = unitsOf(data, (left) => left)[90];
    const alone = Buffer.concat([start?.tables ?? Buffer.alloc(0), unit?.bytes ?? Buffer.alloc(0)]);
    expect(inspectTs(alone, { closed: false, nearNs: 0 }).video).toMatchObject({
      frames: 1,
      startsWithKeyFrame: true,
    });
  });

  it('tell parameter sets apart', () => {
    const changed = buildTs([
      ...chunkUnits(0),
      ...chunkUnits(2, 2, picture(true, 1000, SPS_1080)),
      ...chunkUnits(4),
    ]);
    const hashes = unitsOf(changed, (left) => left).flatMap(({ start }) => start?.parametersHash ?? []);
    expect(hashes).toHaveLength(3);
    expect(hashes[0]).toBe(hashes[2]);
    expect(hashes[0]).not.toBe(hashes[1]);
  });

  it('find their way back after damage', () => {
    const damaged = Buffer.concat([
      data.subarray(0, 5000),
      Buffer.from('not MPEG-TS at all'),
      data.subarray(5000),
    ]);
    expect(unitsOf(damaged, () => 700).length).toBeGreaterThan(170);
  });
});

function unit(bytes: number, arrivedMs: number, start = false): TapUnit {
  return {
    bytes: Buffer.alloc(bytes),
    arrivedMs,
    ...(start ? { start: { tables: Buffer.alloc(0), parametersHash: 'a' } } : {}),
  };
}

describe('a destination’s queue', () => {
  it('begins at a unit to begin with', () => {
    const queue = new TapQueue({ bytes: 1000, ageMs: 1000 });
    queue.push(unit(10, 0));
    expect(queue.shift()).toBeUndefined();
    queue.push(unit(10, 1, true));
    queue.push(unit(10, 2));
    expect([queue.shift()?.arrivedMs, queue.shift()?.arrivedMs, queue.shift()]).toEqual([1, 2, undefined]);
  });

  it.each([
    ['bytes', { bytes: 100, ageMs: 1e9 }],
    ['age', { bytes: 1e9, ageMs: 50 }],
  ])('never holds more than its bound of %s, and goes on at a unit to begin with', (_, limits) => {
    const queue = new TapQueue(limits);
    let drops = 0;
    let checked = 0;
    for (let i = 0; i < 1000; i++) {
      queue.push(unit(20, i * 20, i % 7 === 0));
      expect(queue.bytes).toBeLessThanOrEqual(100);
      if (queue.drops === drops || queue.bytes === 0) continue;
      // What is taken first after an overflow can be begun with.
      expect(queue.shift()?.start).toBeDefined();
      drops = queue.drops;
      checked++;
    }
    expect(checked).toBeGreaterThan(10);
  });

  it('wakes who waits, and lets go of who gives up', async () => {
    const queue = new TapQueue({ bytes: 1000, ageMs: 1000 });
    const cancel = new AbortController();
    const waiting = queue.next(cancel.signal);
    queue.push(unit(10, 1, true));
    expect((await waiting)?.arrivedMs).toBe(1);
    const again = queue.next(cancel.signal);
    cancel.abort();
    expect(await again).toBeUndefined();
  });

  it('does not put back what the rest no longer follows', () => {
    const queue = new TapQueue({ bytes: 1000, ageMs: 1000 });
    const first = unit(10, 0, true);
    queue.push(first);
    queue.shift();
    queue.unshift(first);
    expect(queue.shift()).toBe(first);
    queue.restart();
    queue.unshift(first);
    expect(queue.shift()).toBeUndefined();
  });
});

const SRT = 'mode=caller\ntranstype=live\nconnect_timeout=5000\n';

describe('targets', () => {
  it.each([
    ['rtmp://host/app/key', 'rtmp://host', 'rtmp_app=app\nrtmp_playpath=key\n'],
    ['rtmps://host:443/app/key?t=a&b=#', 'rtmps://host:443', 'rtmp_app=app\nrtmp_playpath=key?t=a&b=#\n'],
    ['rtmp://[::1]/a/b/c/key', 'rtmp://[::1]', 'rtmp_app=a/b/c\nrtmp_playpath=key\n'],
    ['rtmp://host/app?auth=x/key', 'rtmp://host', 'rtmp_app=app?auth=x\nrtmp_playpath=key\n'],
    ['rtmp://host/app/=key live=1', 'rtmp://host', 'rtmp_app=app\nrtmp_playpath==key\n'],
    [
      'srt://host:9000?streamid=%23a%20b&latency=9&passphrase=long+secret',
      'srt://host:9000',
      `${SRT}passphrase=long+secret\nsrt_streamid=#a b\nlatency=9000\n`,
    ],
    [
      'srt://host:9000?streamid=#!::r=live/a?b,m=publish&pbkeylen=32',
      'srt://host:9000',
      `${SRT}pbkeylen=32\nsrt_streamid=#!::r=live/a?b,m=publish\n`,
    ],
    ['srt://host:9000', 'srt://host:9000', SRT],
    ['mux://key', 'rtmps://global-live.mux.com:443', 'rtmp_app=app\nrtmp_playpath=key\n'],
    [
      'twitch://live_1?bandwidthtest=true',
      'rtmps://ingest.global-contribute.live-video.net:443',
      'rtmp_app=app\nrtmp_playpath=live_1?bandwidthtest=true\n',
    ],
  ])('show no secret in their arguments: %s', (url, shown, preset) => {
    const target = parseTarget(url);
    expect(target).toMatchObject({ url: shown, preset });
    const args = streamArguments(target);
    expect(args.at(-1)).toBe(shown);
    expect(args.includes('-fpre')).toBe(preset !== '');
  });

  it.each([
    'rtmp://host/key',
    'rtmp://host',
    'file:///etc/passwd',
    'rtmp://host/app/a b',
    'rtmp://host/app/a\nvcodec=x',
    'srt://host:1?streamid=a%0Ab',
    'srt://host',
    'srt://host:1/path',
    'srt://host:1?mode=listener',
    'srt://host:1?localport=22',
    'srt://host:1?passphrase=short',
    'srt://host:1?pbkeylen=20',
    'srt://host:1?latency=1.5',
    'srt://host:1?transtype=file',
    'mux://',
    'twitch://a/b',
    `rtmp://host/${'a'.repeat(128)}/key`,
    `rtmp://host/app/${'k'.repeat(961)}`,
    'concat:rtmp://host/app/key',
  ])('refuse %s', (url) => {
    expect(() => parseTarget(url)).toThrow(OutputError);
  });

  it('know their secrets, longest first', () => {
    const { secrets } = parseTarget('rtmps://user:password@host/app/streamkey?token=abcdef');
    for (const secret of ['user', 'password', 'streamkey', 'abcdef']) expect(secrets).toContain(secret);
    expect(secrets.map(({ length }) => length)).toEqual(
      secrets.map(({ length }) => length).sort((a, b) => b - a),
    );
  });

  it('of RTMPS have their certificate checked', () => {
    const args = streamArguments(parseTarget('rtmps://host/app/key'), '/ca.pem').join(' ');
    expect(args).toContain('-tls_verify 1 -ca_file /ca.pem');
  });
});

describe('reasons', () => {
  it.each([
    [['[tcp] Connection to tcp://h failed: Connection refused'], 'connection refused by h:1'],
    [['rtmp://h/{k}: Operation timed out'], 'h:1 did not answer in time'],
    [
      ['[rtmp] Server error: Already publishing', 'rtmp://h: Input/output error'],
      'h:1 rejected the stream: Already publishing',
    ],
    [['Failed to resolve hostname h: Name or service not known'], 'the name of h:1 cannot be resolved'],
    [['av_interleaved_write_frame(): Broken pipe'], 'h:1 closed the connection'],
    [['something new'], 'the stream to h:1 failed: something new'],
    [[], 'the stream to h:1 ended'],
  ])('%j', (lines, reason) => expect(explainFailure(lines, 'h:1')).toBe(reason));
});

it('sound alone can begin anywhere', () => {
  // The builder's tables always name both streams; a PMT without video is made of one that has it.
  const data = buildTs(
    Array.from({ length: 5 }, (_, i) => ({ kind: 'audio' as const, at: i / 50, data: adts(1) })),
  );
  const video = data.indexOf(Buffer.from([0x1b, 0xe0, 65]), 188);
  expect(video).toBeGreaterThan(188);
  data[video] = 0x06;
  expect(unitsOf(data, (left) => left).every(({ start }) => start !== undefined)).toBe(true);
});
