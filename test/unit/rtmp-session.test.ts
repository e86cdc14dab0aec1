/** The conversation with a publisher, without sockets. */
import { expect, test, vi } from 'vitest';
import { encodeAmf0 } from '../../src/ingress/inputs/rtmp/amf0.ts';
import { flvTag } from '../../src/ingress/inputs/rtmp/flv.ts';
import type { MediaSink } from '../../src/ingress/inputs/rtmp/types.ts';
import {
  audioMessage,
  clientHandshake,
  command,
  commandMessage,
  connectCommand,
  control,
  messageBytes,
  metadataMessage,
  obsLikeSession,
  publishBytes,
  unpublishBytes,
  videoMessage,
} from '../support/rtmp-bytes.ts';
import { answers, harness, settle, statuses } from '../support/rtmp-session.ts';

const KEY = 'a-secret-stream-key';

async function publishing(options: Parameters<typeof harness>[0] = {}): Promise<ReturnType<typeof harness>> {
  const seen = harness(options);
  seen.session.receive(publishBytes(KEY));
  await settle();
  return seen;
}

test('OBS: from the handshake to its end', async () => {
  const seen = harness();
  const bytes = obsLikeSession(KEY);
  seen.session.receive(bytes);
  expect(seen.tags, 'nothing before it is authorised').toEqual([]);
  expect(seen.calls).toEqual(['pause']);
  await settle();
  expect(seen.calls).toEqual(['pause', 'accepted live', 'resume']);
  expect(seen.requests).toEqual([{ app: 'live', streamKey: KEY, remoteAddress: '192.0.2.7', secure: false }]);
  const [first, second, third] = seen.tags;
  expect(first!.payload).toEqual(metadataMessage().payload.subarray(16));
  expect(second).toEqual({ type: 'video', timestamp: 0, payload: videoMessage(0, 6000, true).payload });
  expect(third).toEqual({ type: 'audio', timestamp: 5, payload: audioMessage(5).payload });
  expect(seen.tags).toHaveLength(61);
  expect(seen.ends).toEqual([{ reason: 'the sender ended its stream', orderly: true }]);
  expect(statuses(seen.sent)).toEqual([
    'NetConnection.Connect.Success: connected',
    'NetStream.Publish.Start: publish now',
    'NetStream.Publish.Start: publishing',
    'NetStream.Unpublish.Success: the stream is over',
  ]);
  expect(seen.closed).toEqual([]);
  seen.session.hungUp('hung up');
  seen.session.hungUp('hung up');
  expect(seen.closed).toEqual([{ reason: 'the sender ended its stream and hung up', notable: false }]);
  expect(seen.ends).toHaveLength(1);
});

test('the same, byte by byte', async () => {
  const seen = harness();
  for (const byte of obsLikeSession(KEY)) {
    seen.session.receive(Buffer.from([byte]));
    if (seen.calls.at(-1) === 'pause') await settle();
  }
  expect(seen.tags).toHaveLength(61);
  expect(seen.ends).toHaveLength(1);
});

test('a sender that vanishes did not end in order', async () => {
  const seen = await publishing();
  seen.session.receive(messageBytes(4, videoMessage(0)));
  seen.session.hungUp('was lost (ECONNRESET)');
  expect(seen.ends).toEqual([
    { reason: 'the sender was lost (ECONNRESET) in the middle of its stream', orderly: false },
  ]);
  expect(seen.tags).toHaveLength(1);
});

test('publishes again on the same connection', async () => {
  const seen = await publishing();
  seen.session.receive(messageBytes(4, videoMessage(5000)));
  seen.session.receive(unpublishBytes(KEY));
  seen.session.receive(messageBytes(4, videoMessage(5033)));
  seen.session.receive(
    Buffer.concat([command(0, 'createStream', 8, null), command(2, 'publish', 9, null, 'other')]),
  );
  await settle();
  seen.session.receive(messageBytes(4, { ...videoMessage(40), streamId: 2 }));
  expect(seen.requests.map(({ streamKey }) => streamKey)).toEqual([KEY, 'other']);
  expect(seen.tags.map(({ timestamp }) => timestamp)).toEqual([5000, 40]);
  expect(seen.ends).toHaveLength(1);
});

test('refused: told in the protocol, and never with the key', async () => {
  const seen = await publishing({ authorise: async () => ({ refuse: `there is no ${KEY}` }) });
  expect(statuses(seen.sent).at(-1)).toBe('NetStream.Publish.BadName: there is no {key}');
  expect(seen.closed).toEqual([{ reason: 'refused: there is no {key}', notable: true }]);
  seen.session.receive(messageBytes(4, videoMessage(0)));
  expect(seen.tags).toEqual([]);
});

test('an authorisation that fails refuses, without saying why', async () => {
  const cause = new Error('Redis is down');
  const seen = await publishing({ authorise: async () => Promise.reject(cause) });
  expect(statuses(seen.sent).at(-1)).toBe(
    'NetStream.Publish.BadName: the stream cannot be taken now; try again',
  );
  expect(seen.closed[0]).toMatchObject({ cause });
});

test('an authorisation that takes too long refuses; its sink is ended when it comes after all', async () => {
  let answer: (accepted: { accept: MediaSink }) => void = () => undefined;
  const seen = await publishing({ authorise: () => new Promise((resolve) => (answer = resolve)) });
  seen.clock.now += 10_001;
  seen.session.check();
  expect(statuses(seen.sent).at(-1)).toMatch(/BadName: the stream cannot be taken now/);
  const sink = { tag: vi.fn(), end: vi.fn() };
  answer({ accept: sink });
  await settle();
  expect(sink.end).toHaveBeenCalledExactlyOnceWith(
    'refused: the stream cannot be taken now; try again',
    false,
  );
  expect(sink.tag).not.toHaveBeenCalled();
});

test('the accepted side closes it, and sees its silence', async () => {
  const seen = await publishing();
  seen.clock.now += 700;
  const [publisher] = seen.publishers;
  expect(publisher!.silentMs).toBe(700);
  seen.session.receive(messageBytes(4, audioMessage(0)));
  expect(publisher!.silentMs).toBe(0);
  publisher!.close('the ingress was deleted');
  publisher!.close('again');
  expect(statuses(seen.sent).at(-1)).toBe('NetStream.Publish.Rejected: the ingress was deleted');
  expect(seen.ends).toEqual([{ reason: 'closed: the ingress was deleted', orderly: false }]);
  expect(seen.closed).toHaveLength(1);
});

test.each([
  ['enhanced HEVC', Buffer.from('9068766331', 'hex'), 9, 'HEVC in RTMP is not supported; send H.264'],
  ['AV1', Buffer.from('9061763031', 'hex'), 9, 'AV1 in RTMP is not supported; send H.264'],
  ['Nellymoser', Buffer.from('6200', 'hex'), 8, 'Nellymoser in RTMP is not supported; send AAC'],
])('%s is refused by name', async (_name, payload, type, description) => {
  const seen = await publishing();
  seen.session.receive(messageBytes(4, { type, streamId: 1, timestamp: 0, payload }));
  expect(statuses(seen.sent).at(-1)).toBe(`NetStream.Publish.Rejected: ${description}`);
  expect(seen.closed).toEqual([{ reason: `refused: ${description}`, notable: true }]);
  expect(seen.ends).toHaveLength(1);
  expect(seen.tags).toEqual([]);
});

test('aggregates become tags; other data and broken metadata do not', async () => {
  const seen = await publishing();
  const tags = [
    flvTag({ type: 'video', timestamp: 90, payload: videoMessage(0).payload }),
    flvTag({ type: 'audio', timestamp: 95, payload: audioMessage(0).payload }),
  ];
  const data = (payload: Buffer, type = 18) => messageBytes(4, { type, streamId: 1, timestamp: 0, payload });
  const metadata = encodeAmf0('onMetaData', new Map([['width', 1]]));
  seen.session.receive(
    Buffer.concat([
      messageBytes(4, { type: 22, streamId: 1, timestamp: 1000, payload: Buffer.concat(tags) }),
      data(encodeAmf0('onTextData', 'hello')),
      data(encodeAmf0('@setDataFrame')),
      data(metadata.subarray(0, -2)),
      data(metadata),
      data(Buffer.concat([Buffer.from([0]), metadata]), 15),
    ]),
  );
  expect(seen.tags.map(({ type, timestamp }) => `${type} ${timestamp}`)).toEqual([
    'video 1000',
    'audio 1005',
    'data 0',
    'data 0',
  ]);
  expect(seen.tags[3]!.payload).toEqual(metadata);
  expect(seen.closed).toEqual([]);
});

test('acknowledges when asked, answers pings', async () => {
  const seen = await publishing();
  const before = answers(seen.sent).length;
  seen.session.receive(messageBytes(4, videoMessage(0, 5000)));
  expect(answers(seen.sent)).toHaveLength(before);
  seen.session.receive(control(5, 4000));
  seen.session.receive(messageBytes(4, videoMessage(0, 3000)));
  seen.session.receive(messageBytes(4, videoMessage(0, 3000)));
  const acknowledged = answers(seen.sent)
    .filter(({ type }) => type === 3)
    .map(({ payload }) => payload.readUInt32BE(0));
  expect(acknowledged).toHaveLength(2);
  expect(acknowledged[1]).toBe(seen.session.receivedBytes);
  const ping = Buffer.from('0006deadbeef', 'hex');
  seen.session.receive(messageBytes(2, { type: 4, streamId: 0, timestamp: 0, payload: ping }));
  expect(answers(seen.sent).at(-1)).toMatchObject({ type: 4, payload: Buffer.from('0007deadbeef', 'hex') });
});

test('commands in AMF3 messages', async () => {
  const seen = harness();
  const amf3 = (streamId: number, ...values: Parameters<typeof encodeAmf0>) =>
    messageBytes(3, {
      ...commandMessage(streamId),
      type: 17,
      payload: Buffer.concat([Buffer.from([0]), encodeAmf0(...values)]),
    });
  seen.session.receive(
    Buffer.concat([
      clientHandshake(0x80000702),
      amf3(0, 'connect', 1, new Map([['app', 'live']])),
      amf3(0, 'createStream', 2, null),
      amf3(1, 'publish', 3, null, `${KEY}?token=1`, 'live'),
    ]),
  );
  await settle();
  expect(seen.requests[0]).toMatchObject({ app: 'live', streamKey: KEY });
});

test('playing is refused by name; what is unknown is answered and nothing more', async () => {
  const seen = harness();
  seen.session.receive(
    Buffer.concat([
      clientHandshake(),
      connectCommand(),
      command(0, '_checkbw', 2, null),
      command(0, `${KEY} of nobody`, 3, null),
      command(0, 'quiet', 0, null),
      command(0, '_result', 4, null),
      command(0, 'createStream', 5, null),
      command(1, 'play', 6, null, KEY),
    ]),
  );
  expect(statuses(seen.sent).slice(1)).toEqual([
    'NetConnection.Call.Failed: the command _checkbw is not supported',
    'NetConnection.Call.Failed: the command (unreadable) is not supported',
    'NetStream.Play.Failed: play is not supported: streams are taken here, not played',
  ]);
  expect(seen.closed[0]!.reason).toMatch(/^refused: play is not supported/);
});

test.each<[string, Buffer[], RegExp, string | undefined]>([
  [
    'a key that is none',
    [connectCommand(), command(0, 'createStream', 2, null), command(1, 'publish', 3, null, '')],
    /no stream key/,
    'NetStream.Publish.BadName',
  ],
  [
    'publish without a stream',
    [connectCommand(), command(7, 'publish', 2, null, KEY)],
    /needs a stream/,
    'NetStream.Publish.BadName',
  ],
  [
    'connect without app',
    [command(0, 'connect', 1, new Map())],
    /connect names no app/,
    'NetConnection.Connect.Rejected',
  ],
  ['connect twice', [connectCommand(), connectCommand()], /connect came twice/, undefined],
  ['publish before connect', [command(1, 'publish', 3, null, KEY)], /publish came before connect/, undefined],
  ['a command that is a number', [command(0, 5)], /without a name/, undefined],
  [
    'many streams',
    [connectCommand(), ...Array.from({ length: 9 }, (_, i) => command(0, 'createStream', i, null))],
    /more than 8 message streams/,
    undefined,
  ],
  [
    'a command of a megabyte',
    [messageBytes(3, { ...commandMessage(0), payload: Buffer.alloc(65_537) })],
    /65537 bytes; 65536 are allowed/,
    undefined,
  ],
])('%s', async (_name, parts, reason, code) => {
  const seen = harness();
  seen.session.receive(Buffer.concat([clientHandshake(), ...parts]));
  await settle();
  expect(seen.closed).toHaveLength(1);
  expect(seen.closed[0]!.reason).toMatch(reason);
  expect(seen.closed[0]!.notable).toBe(true);
  expect(seen.requests).toEqual([]);
  const told = statuses(seen.sent).at(-1) ?? '';
  if (code) expect(told).toContain(code);
});

test('one over the limit is told so', () => {
  const seen = harness({ rejection: 'too many connections' });
  seen.session.receive(Buffer.concat([clientHandshake(), connectCommand()]));
  expect(statuses(seen.sent)).toEqual(['NetConnection.Connect.Rejected: too many connections']);
  expect(seen.closed[0]!.reason).toBe('refused: too many connections');
});

test('a second publish on the connection is refused; the first goes on', async () => {
  const seen = await publishing();
  seen.session.receive(
    Buffer.concat([command(0, 'createStream', 8, null), command(2, 'publish', 9, null, 'other')]),
  );
  seen.session.receive(messageBytes(4, videoMessage(0)));
  expect(statuses(seen.sent).at(-1)).toMatch(/^NetStream.Publish.BadName: one stream a connection/);
  expect(seen.requests).toHaveLength(1);
  expect(seen.tags).toHaveLength(1);
});

test('what comes before the answer is bounded', async () => {
  const seen = harness({
    authorise: () => new Promise(() => undefined),
    limits: { maxEarlyBytes: 100_000 },
  });
  seen.session.receive(publishBytes(KEY));
  for (let i = 0; i < 20; i++) seen.session.receive(messageBytes(4, videoMessage(0, 10_000)));
  expect(seen.closed[0]!.reason).toMatch(/too much was sent before the stream was accepted/);
  expect(seen.session.pendingBytes).toBeLessThan(20_000);
});

test('a sink that throws ends its own connection only', async () => {
  const cause = new Error('disk full');
  const end = vi.fn();
  const tag = () => {
    throw cause;
  };
  const seen = await publishing({ authorise: async () => ({ accept: { tag, end } }) });
  seen.session.receive(messageBytes(4, videoMessage(0)));
  expect(seen.closed).toEqual([{ reason: 'internal error', notable: true, cause }]);
  expect(end).toHaveBeenCalledOnce();
});

test('deadlines: bytes alone do not keep a stream', async () => {
  const seen = await publishing();
  for (let passed = 0; passed < 31_000; passed += 1000) {
    seen.clock.now += 1000;
    seen.session.receive(control(3, passed));
    seen.session.check();
  }
  expect(seen.closed).toEqual([{ reason: 'no audio or video for 30000 ms', notable: true }]);
  expect(seen.ends).toEqual([{ reason: 'no audio or video for 30000 ms', orderly: false }]);
});
