import { describe, expect, test } from 'vitest';
import { isPlaylist, rewritePlaylist } from '../../src/outbound/playlist.ts';
import { proxiedUrl, realUrl } from '../../src/outbound/proxied-urls.ts';

describe('URLs on their way through the proxy', () => {
  test.each([
    ['http://host/path?x=1', 'http://host/path?x=1'],
    ['https://host/path?x=1', 'http://sluice-tls.host:443/path?x=1'],
    ['https://user:pw@host:8443/', 'http://user:pw@sluice-tls.host:8443/'],
    ['https://93.184.215.14/a', 'http://sluice-tls.93-184-215-14.ip4.invalid:443/a'],
    ['https://[fd00::1]:444/a', 'http://sluice-tls.fd00--1.ip6.invalid:444/a'],
    ['https://[::1]/a', 'http://sluice-tls.--1.ip6.invalid:443/a'],
  ])('%s', (url, proxied) => {
    expect(proxiedUrl(new URL(url)).href).toBe(proxied);
    expect(realUrl(new URL(proxied)).href).toBe(new URL(url).href);
  });

  test('nothing but http and https goes through', () => {
    for (const url of ['file:///etc/passwd', 'data:,x', 'httpproxy://a/', 'tcp://a:1']) {
      expect(() => proxiedUrl(new URL(url))).toThrow(/only http and https/);
    }
    expect(() => proxiedUrl(new URL('https://host:80/'))).toThrow(/port 80/);
  });
});

describe('playlists', () => {
  const base = new URL('https://host/folder/index.m3u8');
  const rewrite = (...lines: string[]) =>
    rewritePlaylist(['#EXTM3U', ...lines].join('\r\n'), base, (url) => `<${url.href}>`);

  test('are known by their beginning', () => {
    expect(isPlaylist(Buffer.from('#EXTM3U\n'))).toBe(true);
    expect(isPlaylist(Buffer.from('\uFEFF#EXTM3U\n'))).toBe(true);
    expect(isPlaylist(Buffer.from('#EXTINF'))).toBe(false);
    expect(isPlaylist(Buffer.alloc(0))).toBe(false);
  });

  test('get absolute URLs, in lines and in tags', () => {
    const { text, kind, targetSeconds } = rewrite(
      '#EXT-X-TARGETDURATION:6',
      '#EXT-X-KEY:METHOD=AES-128,URI="key",IV=0x1',
      '#EXT-X-MAP:URI="/init.mp4"',
      '#EXTINF:6,',
      'a.ts?x=1',
      '#EXTINF:6,',
      '//other/b.ts',
      '#EXT-X-ENDLIST',
    );
    expect(text.split('\n')).toEqual([
      '#EXTM3U',
      '#EXT-X-TARGETDURATION:6',
      '#EXT-X-KEY:METHOD=AES-128,URI="<https://host/folder/key>",IV=0x1',
      '#EXT-X-MAP:URI="<https://host/init.mp4>"',
      '#EXTINF:6,',
      '<https://host/folder/a.ts?x=1>',
      '#EXTINF:6,',
      '<https://other/b.ts>',
      '#EXT-X-ENDLIST',
    ]);
    expect({ kind, targetSeconds }).toEqual({ kind: 'ended', targetSeconds: 6 });
    expect(rewrite('#EXTINF:1,', 'a.ts').kind).toBe('live');
  });

  test.each([
    'file:///etc/passwd',
    'data:text/plain,x',
    'crypto:http://a/',
    'concat:a|b',
    'http://[bad',
    'skd://key',
  ])('that name %s are refused', (uri) => {
    expect(() => rewrite('#EXTINF:1,', uri)).toThrow(/the playlist names/);
    expect(() => rewrite(`#EXT-X-KEY:METHOD=AES-128,URI="${uri}"`)).toThrow(/the playlist names/);
  });

  test('of playlists keep the best variant up to 1080p, with its sound', () => {
    const { text, kind } = rewrite(
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="low",NAME="x",URI="low.m3u8"',
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="high",NAME="x",URI="high.m3u8"',
      '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="x",URI="subs.m3u8"',
      '#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=640x360,AUDIO="low"',
      '360.m3u8',
      '#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=1,BANDWIDTH=4000000,RESOLUTION=1920x1080,AUDIO="high",SUBTITLES="subs"',
      '# a comment',
      '1080.m3u8',
      '#EXT-X-STREAM-INF:BANDWIDTH=9000000,RESOLUTION=3840x2160,AUDIO="high"',
      '2160.m3u8',
      '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="file:///etc/passwd"',
    );
    expect(kind).toBe('master');
    expect(text.trim().split('\n')).toEqual([
      '#EXTM3U',
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="high",NAME="x",URI="<https://host/folder/high.m3u8>"',
      '#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=1,BANDWIDTH=4000000,RESOLUTION=1920x1080,AUDIO="high"',
      '<https://host/folder/1080.m3u8>',
    ]);
  });
});
