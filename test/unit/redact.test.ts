import { describe, expect, it } from 'vitest';
import { redactIdentifier, redactStreamUrl, redactText, redactUrl, secretsOf } from '../../src/redact.ts';

describe('redactIdentifier', () => {
  it.each([
    ['', '{...}'],
    ['ab', '{...}'],
    ['abc', '{a...c}'],
    ['abcdef', '{ab...ef}'],
    ['abcdefgh', '{ab...gh}'],
    ['abcdefghi', '{abc...ghi}'],
    ['abcdefghijklmnopqrstuvwxyz', '{abc...xyz}'],
  ])('%s -> %s', (identifier, shown) => {
    expect(redactIdentifier(identifier)).toBe(shown);
  });
});

describe('redactStreamUrl', () => {
  it.each([
    // As livekit/protocol's RedactStreamKey.
    ['rtmp://localhost:1935/live/stream', 'rtmp://localhost:1935/live/{st...am}'],
    [
      'rtmps://a.rtmps.youtube.com:443/live2/abcd-efgh-ijkl',
      'rtmps://a.rtmps.youtube.com:443/live2/{abc...jkl}',
    ],
    ['rtmp://x.com/a/b/c/key-of-mine', 'rtmp://x.com/a/b/c/{key...ine}'],
    ['rtmp://x.com/live/mykey99 live=1', 'rtmp://x.com/live/{my...99} live=1'],
    ['rtmp://x.com/live/', 'rtmp://x.com/live/{...}'],
    ['rtmp://x.com/live/name?token=abcdefghi', 'rtmp://x.com/live/{nam...ghi}'],
    ['rtmp://x.com/live', 'rtmp://x.com/live'],
    // What LiveKit leaves in, and is a credential all the same.
    ['rtmp://me:pass@x.com/live/abcdefghi', 'rtmp://{credentials}@x.com/live/{abc...ghi}'],
    ['rtmp://x.com/live?token=abcdefghi/key', 'rtmp://x.com/live?token={abc...ghi}/{k...y}'],
    ['mux://abcdefghi', 'mux://{abc...ghi}'],
    ['twitch://live_123456789', 'twitch://{liv...789}'],
    [
      'srt://x.com:9000?mode=caller&streamid=publish:abc&passphrase=0123456789&latency=200',
      'srt://x.com:9000?mode=caller&streamid={pub...abc}&passphrase={012...789}&latency=200',
    ],
    [
      'srt://x.com:9000?streamid=#!::r=live/abcdef,m=publish&latency=200',
      'srt://x.com:9000?streamid={#!:...ish}&latency=200',
    ],
    ['srt://x.com:9000', 'srt://x.com:9000'],
    ['wss://me:pass@x.com/audio?token=abcdefghi', 'wss://{credentials}@x.com/audio?token={abc...ghi}'],
  ])('%s -> %s', (url, shown) => {
    expect(redactStreamUrl(url)).toBe(shown);
  });
});

describe('redactUrl', () => {
  it.each([
    ['redis://:hunter22@r.example:6379/0', 'redis://{credentials}@r.example:6379/0'],
    [
      'https://example.com/hook?access_token=abcdefghi&x=1',
      'https://example.com/hook?access_token={abc...ghi}&x=1',
    ],
    ['https://example.com/a@b', 'https://example.com/a@b'],
    ['rtsp://admin:pa@ss@10.0.0.4/stream1', 'rtsp://{credentials}@10.0.0.4/stream1'],
    ['ws://127.0.0.1:7880/bridge?token=eyJhbGciOi', 'ws://127.0.0.1:7880/bridge?token={eyJ...iOi}'],
    [
      'https://b.s3.amazonaws.com/k?X-Amz-Signature=abcdefghi',
      'https://b.s3.amazonaws.com/k?X-Amz-Signature={abc...ghi}',
    ],
    ['/a/path', '/a/path'],
    ['', ''],
  ])('%s -> %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });
});

describe('redactText', () => {
  it('finds URLs in lines', () => {
    expect(
      redactText(
        '[rtmp @ 0x55] Cannot open rtmp://h/app/verysecretkey: I/O error (srt://h:1?passphrase=0123456789)',
      ),
    ).toBe(
      '[rtmp @ 0x55] Cannot open rtmp://h/app/{ver...key}: I/O error (srt://h:1?passphrase={012...789})',
    );
  });

  it('leaves other text alone', () => {
    expect(redactText('frame=  25 fps=25 a:b c//d')).toBe('frame=  25 fps=25 a:b c//d');
  });
});

describe('secretsOf', () => {
  it('is what a text may quote of a URL, as it is written and as it is meant', () => {
    expect(secretsOf('https://me:pass%20word@h/?a=harmless&token=abcdef%2Bgh&key=short&KEY=longer1')).toEqual(
      [...['abcdef%2Bgh', 'abcdef+gh', 'longer1', 'pass%20word', 'pass word']],
    );
    expect(secretsOf('https://h/?token&password')).toEqual([]);
  });
});
