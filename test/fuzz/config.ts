/** YAML configuration: it is taken, or refused with a ConfigError that names keys; nothing else ever comes out. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, KEY_NAMES, loadConfig } from '../../src/config/index.ts';
import { mutate } from '../support/mutate.ts';
import { among, damageJson, damageLines, oddValue, upTo } from './damage.ts';
import { fuzzer } from './fuzzer.ts';
import type { Next } from './fuzzer.ts';

const EXAMPLE = readFileSync(new URL('../../config/sluice.example.yaml', import.meta.url), 'utf8');
/** Shown by no error, whatever happens to the file around it. */
const SECRET = 'Secret-Tq7w4Zr1';
const LINES = [
  ...EXAMPLE.split('\n').map((line) => line.replace(/^(\s*)# ?(?=[a-z_]+:)/, '$1')),
  'keys:',
  `  devkey: ${SECRET}-of-thirty-two-characters`,
];
const EXTRA = [
  '__proto__:',
  '  polluted: true',
  'constructor: {prototype: {polluted: true}}',
  'http: &a {port: *a}',
  'http: *nobody',
  '<<: {http: {port: 1}}',
  '? [a, b] : c',
  '!!js/function "x"',
  '!!binary aGk=',
  'keys: !!set {a, b}',
  '--- {}',
  '%YAML 9.9',
  'http: {port: 7880, port: 7881}',
  'http: [1, 2',
  'log: {level: .inf}',
  'webhook: {urls: [[], {}, 1]}',
  '\t- tab',
  'rtc: 2026-01-01',
];
/** Valid as it is. */
const WHOLE = {
  http: { host: '127.0.0.1', port: 7880 },
  rtc: { udp_port: 7882, plain_port_range: '40000-49999', ice_servers: [{ urls: ['stun:a:1'] }], workers: 2 },
  ingress: { rtmp_port: 1935, grace: 5, allow_networks: ['10.0.0.0/8'], file_roots: ['/srv'] },
  keys: { one: `${SECRET}-of-thirty-two-characters`, two: `${SECRET}-with-thirty-two-characters` },
  storage: { type: 'local', s3: { bucket: 'b', access_key: 'a', secret: SECRET } },
  webhook: { urls: ['http://127.0.0.1:1/'], api_key: 'one' },
  log: { level: 'info', pretty: 'auto' },
};
/** Anchors that multiply: nine levels of nine would be 3e8 values. */
const BOMB = Array.from({ length: 9 }, (_, i) =>
  i === 0
    ? 'a0: &a0 [x,x,x,x,x,x,x,x,x]'
    : `a${i}: &a${i} [${Array<string>(9)
        .fill(`*a${i - 1}`)
        .join(',')}]`,
);
const DEEP = `http: ${'['.repeat(20_000)}`;
const DEEP_MAPS = Array.from({ length: 1500 }, (_, i) => `${' '.repeat(i)}http:`).join('\n');

function text(index: number, next: Next): string {
  const kind = index % 8;
  if (kind === 0 && next() < 0.2) return [...BOMB, `keys: *a8`, 'webhook: {urls: *a8}'].join('\n');
  if (kind === 1 && next() < 0.05) return among(next, [DEEP, DEEP_MAPS]);
  if (kind === 2) {
    const key = among(next, KEY_NAMES).split('.');
    const value = JSON.stringify(oddValue(next));
    return key.map((part, depth) => `${'  '.repeat(depth)}${part}:`).join('\n') + ` ${value}`;
  }
  if (kind === 3 || kind === 4) return JSON.stringify(damageJson(WHOLE, next, 8), null, kind) ?? '';
  if (kind === 5) return [among(next, EXTRA), among(next, EXTRA)].join('\n');
  const start = upTo(next, LINES.length - 1);
  const stretch = next() < 0.5 ? LINES : LINES.slice(start, start + 12);
  const lines = damageLines(stretch, EXTRA, next).join('\n');
  return next() < 0.2 ? mutate(Buffer.from(lines || 'x'), next).toString('latin1') : lines;
}

export const configFuzzer = fuzzer({
  name: 'config',
  about: 'YAML configuration files',
  count: 250,
  start() {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-fuzz-'));
    const file = join(folder, 'sluice.yaml');
    return {
      make: (index, next) => ({ description: `file ${index}`, bytes: Buffer.from(text(index, next)) }),
      run({ bytes }) {
        writeFileSync(file, bytes);
        try {
          loadConfig({ env: { SLUICE_CONFIG: file }, cwd: folder });
          return { kind: 'taken', past: true };
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          assert.ok(error.problems.length > 0);
          for (const problem of error.problems) {
            assert.ok(
              problem.length > 10 && problem.length < 2000,
              `a problem of ${problem.length} characters`,
            );
            assert.doesNotMatch(problem, /\n\s+at |node_modules|\.ts:\d/, 'a stack trace');
            assert.ok(!problem.includes(SECRET), 'a secret');
          }
          const syntax = error.problems.some((problem) => problem.includes('not valid YAML'));
          return { kind: syntax ? 'not valid YAML' : 'values refused', past: !syntax };
        } finally {
          assert.equal(
            (Object.prototype as { polluted?: unknown }).polluted,
            undefined,
            'a polluted prototype',
          );
          assert.equal(({} as { port?: unknown }).port, undefined);
        }
      },
      close: () => rmSync(folder, { recursive: true, force: true }),
    };
  },
});
