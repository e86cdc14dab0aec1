/** What the fuzzers have found, each as small as it could be made. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError, loadConfig } from '../../src/config/index.ts';
import { inspectMkv } from '../../src/egress/log/mkv-inspect.ts';
import { MkvInspector } from '../../src/ingress/inputs/inspect/index.ts';
import { rewritePlaylist } from '../../src/outbound/playlist.ts';
import { VP8_KEY, buildMkv } from '../support/mkv-builder.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-findings-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function problems(yaml: string): readonly string[] {
  const file = join(folder, 'sluice.yaml');
  writeFileSync(file, yaml);
  try {
    loadConfig({ env: { SLUICE_CONFIG: file }, cwd: folder });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('configuration', () => {
  test('aliases that multiply are refused as such, at once', () => {
    const lines = Array.from({ length: 9 }, (_, i) =>
      i === 0
        ? 'a0: &a0 [x, x, x, x, x, x, x, x, x]'
        : `a${i}: &a${i} [${Array(9)
            .fill(`*a${i - 1}`)
            .join(', ')}]`,
    );
    expect(problems(lines.join('\n'))).toEqual([
      expect.stringMatching(/^sluice.yaml: its aliases cannot be followed/),
    ]);
  });

  test('an alias that names nothing, and one inside its own anchor', () => {
    expect(problems('http: *nobody')).toEqual([expect.stringContaining('alias')]);
    expect(problems('http: { port: &a [*a] }')).toEqual([
      expect.stringMatching(/^http.port .* is a value that holds itself .*: must be a port/),
    ]);
  });

  test('a key of a megabyte is cut in the message, and compared with nothing', () => {
    const begun = performance.now();
    const [problem = ''] = problems(`? "${'x'.repeat(1_000_000)}"\n: 1\n`);
    expect(problem).toMatch(/^x{60}\.\.\. in sluice.yaml: there is no such key$/);
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  test('keys that are maps print nothing past the log', () => {
    const warnings: Error[] = [];
    const keep = (warning: Error): void => void warnings.push(warning);
    process.on('warning', keep);
    problems('? { a-secret: 1 }\n: 2\n');
    return new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      process.off('warning', keep);
      expect(warnings).toEqual([]);
    });
  });
});

describe('Matroska', () => {
  /** @param from bytes of an element's id, size and content, and what they become */
  const changed = (data: Buffer, from: string, to: string): Buffer => {
    const at = data.indexOf(Buffer.from(from, 'hex'));
    expect(at).toBeGreaterThan(0);
    Buffer.from(to, 'hex').copy(data, at);
    return data;
  };
  const chunk = () =>
    buildMkv([
      [
        { kind: 'video', at: 0, key: true },
        { kind: 'audio', at: 0 },
        { kind: 'audio', at: 20 },
      ],
    ]);

  test('a picture wider than any is one of unknown size', () => {
    const inspector = new MkvInspector();
    inspector.push(changed(chunk(), 'b01000000400000142', 'b010000004ff000142'));
    inspector.settle();
    expect(inspector.description?.video).toMatchObject({ width: 0, height: 182 });
  });

  test('sound at a rate of 0 or less does not end before it begins', () => {
    // 48000 as a double, its sign turned.
    const { audio } = inspectMkv(changed(chunk(), '40e7700000000000', 'c0e7700000000000'));
    expect(audio).toMatchObject({ startNs: 0, endNs: 40_000_000, info: { sampleRate: 48_000 } });
  });

  test('blocks that are out of order by damage', () => {
    const data = buildMkv([
      [
        { kind: 'audio', at: 1000 },
        { kind: 'audio', at: 0 },
      ],
    ]);
    expect(inspectMkv(data).audio).toMatchObject({ startNs: 0, endNs: 1_020_000_000 });
  });

  test('another parameter set is found where it is in the chunk, wherever the chunk is in memory', () => {
    const key = Buffer.from(VP8_KEY);
    key[6] = 0x43;
    const data = buildMkv([
      [
        { kind: 'video', at: 0, key: true },
        { kind: 'video', at: 40, key: true, data: key },
      ],
    ]);
    const inside = Buffer.concat([Buffer.alloc(5000), data]).subarray(5000);
    const [change] = inspectMkv(inside).video?.changes ?? [];
    expect(inside.subarray(change?.offset, (change?.offset ?? 0) + key.length)).toEqual(key);
  });
});

describe('HLS playlists as FFmpeg reads them', () => {
  const rewrite = (...lines: string[]): string[] =>
    rewritePlaylist(['#EXTM3U', ...lines].join('\n'), new URL('http://host/live/'), (url) => `<${url.href}>`)
      .text.split('\n')
      .slice(1);

  test.each([
    ['#EXT-X-MAP:URI=file:///etc/passwd', /names a file: URL/],
    ['#EXT-X-KEY:METHOD=AES-128,URI=crypto:x,IV=0x1', /names a crypto: URL/],
    ['#EXT-X-MAP:X="a\\",Y=",URI=file:///etc/passwd,Z="', /names a file: URL/],
    ['# a comment\0file:///etc/passwd', /names a file: URL/],
    ['# \0#EXT-X-MAP:URI=file:///etc/passwd', /names a file: URL/],
  ])('%j is refused', (line, message) => {
    expect(() => rewrite(line)).toThrow(message);
  });

  test.each([
    ['#EXT-X-MAP:URI=init.mp4', ['#EXT-X-MAP:URI="<http://host/live/init.mp4>"']],
    ['#EXT-X-MAP:URI="a.mp4",BYTERANGE="1@0"', ['#EXT-X-MAP:URI="<http://host/live/a.mp4>",BYTERANGE="1@0"']],
    [
      '#EXT-X-MAP:URI="?a\\\\",URI="b"',
      ['#EXT-X-MAP:URI="<http://host/live/?a%5C>",URI="<http://host/live/b>"'],
    ],
    [
      '#EXT-X-MEDIA:NAME="x, URI=file:y",URI="b"',
      ['#EXT-X-MEDIA:NAME="x, URI=file:y",URI="<http://host/live/b>"'],
    ],
    ['# a comment with URI=file:x', ['# a comment with URI=file:x']],
    ['a.ts\0b.ts', ['<http://host/live/a.ts>', '<http://host/live/b.ts>']],
  ])('%j is written so that nothing else can be read from it', (line, written) => {
    expect(rewrite(line)).toEqual(written);
  });
});
