import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import type { RtmpPublisher } from '../../src/ingress/inputs/rtmp/index.ts';
import type { RelayOutput, RelayReader } from '../../src/ingress/relay/reader.ts';
import { RelaySession } from '../../src/ingress/relay/session.ts';

const logger = pino({ level: 'silent' });
const AVC_CONFIG = Buffer.from(
  // Constrained Baseline, 64x64.
  '1700000000' + '0142c00affe10017' + '6742c00ad90426c044000003000400000300f03c489920' + '01000468ce3c80',
  'hex',
);
const AAC_CONFIG = Buffer.from('af001210', 'hex');

const frame = (key: boolean, bytes: number): Buffer =>
  Buffer.concat([Buffer.from([key ? 0x17 : 0x27, 1, 0, 0, 0]), Buffer.alloc(bytes, 1)]);
const sound = (): Buffer => Buffer.concat([Buffer.from([0xaf, 1]), Buffer.alloc(100, 2)]);

class Publisher implements RtmpPublisher {
  silentMs = 0;
  closed: string | undefined;
  close(reason: string): void {
    this.closed = reason;
  }
}

/** A worker that takes what it is told to take. */
class Worker implements RelayOutput {
  readonly tags: { type: number; key: boolean; header: boolean; at: number }[] = [];
  why: string | undefined;
  bytes = 0;
  open = true;
  reader: RelayReader | undefined;
  write(bytes: Buffer): boolean {
    this.bytes += bytes.length;
    if (bytes.toString('latin1', 0, 3) !== 'FLV') {
      const type = bytes[0]!;
      const at = bytes.readUIntBE(4, 3) + bytes[7]! * 2 ** 24;
      this.tags.push({ type, at, key: type === 9 && bytes[11] === 0x17, header: bytes[12] === 0 });
    }
    return this.open;
  }
  end(why: string): void {
    this.why = why;
  }
}

function rig(graceMs = 1000) {
  const onOver = vi.fn();
  const session = new RelaySession({ resourceId: 'IR_1', graceMs, logger, onOver });
  const publisher = new Publisher();
  const sink = session.attach(publisher);
  let at = 0;
  const headers = () => {
    sink.tag({ type: 'video', timestamp: 0, payload: AVC_CONFIG });
    sink.tag({ type: 'audio', timestamp: 0, payload: AAC_CONFIG });
  };
  /** One second: 25 pictures of which the first is a keyframe, and as many sounds. */
  const second = (bytes = 1000, key = true) => {
    for (let i = 0; i < 25; i++, at += 40) {
      sink.tag({ type: 'video', timestamp: at, payload: frame(key && i === 0, bytes) });
      sink.tag({ type: 'audio', timestamp: at + 5, payload: sound() });
    }
  };
  const read = (worker = new Worker()) => {
    worker.reader = session.read(worker);
    return worker;
  };
  return { session, publisher, sink, headers, second, read, onOver };
}

describe('a reader', () => {
  it('begins with headers and the newest keyframe, at zero', () => {
    const { headers, second, read } = rig();
    headers();
    for (let i = 0; i < 4; i++) second();
    const worker = read();
    expect(worker.tags.slice(0, 3)).toEqual([
      { type: 9, at: 0, key: true, header: true },
      { type: 8, at: 0, key: false, header: true },
      { type: 9, at: 0, key: true, header: false },
    ]);
    // The second since that keyframe runs past it in a moment; of its sound only what is live.
    const media = worker.tags.slice(2);
    expect(media.filter(({ type }) => type === 9)).toHaveLength(25);
    expect(media.filter(({ type }) => type === 8)).toHaveLength(1);
    expect(media.at(-1)!.at).toBeLessThan(100);
  });

  it('that is slow goes on at a keyframe, and the server holds little', () => {
    const { session, headers, second, read } = rig();
    headers();
    second();
    const worker = read();
    worker.open = false;
    for (let i = 0; i < 30; i++) second(10_000);
    const before = worker.tags.length;
    expect(session.heldBytes).toBeLessThan(6 * 25 * 11_000);
    worker.open = true;
    worker.reader!.drained();
    expect(worker.reader!.skips).toBe(1);
    // One was written when it could take no more.
    const after = worker.tags.slice(before);
    expect(after[0]).toMatchObject({ type: 9, key: true });
    const times = after.filter(({ type }) => type === 9).map((tag) => tag.at);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times).toHaveLength(25);
    expect(times.at(-1)! - times[0]!).toBeLessThan(100);
  });

  it('that waits for a keyframe for ever costs a bounded amount', () => {
    const { session, headers, second, read } = rig();
    headers();
    second(200_000);
    for (let i = 0; i < 60; i++) second(200_000, false);
    expect(session.heldBytes).toBeLessThanOrEqual(24 * 1024 * 1024);
    const worker = read();
    expect(worker.bytes).toBe(0);
    second();
    expect(worker.tags.find(({ type, header }) => type === 9 && !header)).toMatchObject({ key: true });
  });

  it('is replaced by the next', () => {
    const { headers, second, read } = rig();
    headers();
    second();
    const first = read();
    const next = read();
    expect(first.why).toBe('lost');
    second();
    expect(next.why).toBeUndefined();
    expect(next.tags.length).toBeGreaterThan(first.tags.length);
  });

  it('gets no header twice when a publisher returns with the same', () => {
    const { session, sink, headers, second, read } = rig();
    headers();
    second();
    const worker = read();
    sink.end('gone', false);
    const again = session.attach(new Publisher());
    again.tag({ type: 'video', timestamp: 0, payload: AVC_CONFIG });
    again.tag({ type: 'audio', timestamp: 0, payload: AAC_CONFIG });
    again.tag({ type: 'video', timestamp: 0, payload: frame(true, 10) });
    expect(worker.tags.filter(({ header }) => header)).toHaveLength(2);
    expect(worker.tags.at(-1)).toMatchObject({ key: true });
    expect(worker.why).toBeUndefined();
  });

  it('comes again when a kind is added', () => {
    vi.useFakeTimers({ now: 0, toFake: ['performance'] });
    try {
      const { sink, read } = rig();
      sink.tag({ type: 'audio', timestamp: 0, payload: AAC_CONFIG });
      for (let at = 0; at < 2000; at += 20) {
        vi.advanceTimersByTime(20);
        sink.tag({ type: 'audio', timestamp: at, payload: sound() });
      }
      const worker = read();
      expect(worker.tags.length).toBeGreaterThan(0);
      sink.tag({ type: 'video', timestamp: 2000, payload: AVC_CONFIG });
      sink.tag({ type: 'video', timestamp: 2000, payload: frame(true, 10) });
      expect(worker.why).toBe('restart');
      const next = read();
      expect(next.tags.at(-1)).toMatchObject({ type: 9, key: true });
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a second publisher', () => {
  it('takes over from a silent one only', () => {
    const { session, publisher, onOver } = rig();
    expect(session.free).toBe(false);
    publisher.silentMs = 3001;
    expect(session.free).toBe(true);
    const next = new Publisher();
    const sink = session.attach(next);
    expect(publisher.closed).toContain('taken over');
    expect(session.free).toBe(false);
    // What the one before still says is not for this stream.
    sink.end('gone', true);
    expect(session.free).toBe(true);
    session.end('done');
    expect(onOver).toHaveBeenCalledTimes(1);
  });

  it('is not waited for longer than the grace', async () => {
    const { session, sink, headers, second, read, onOver } = rig(50);
    headers();
    second();
    const worker = read();
    sink.end('gone', true);
    await expect.poll(() => worker.why).toBe('complete');
    expect(session.over).toBe(true);
    expect(onOver).toHaveBeenCalledExactlyOnceWith(true);
    expect(session.heldBytes).toBe(0);
    expect(read().why).toBe('complete');
  });
});
