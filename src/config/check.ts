/** What one key alone cannot say: keys that need each other, contradict each other, or name files. */
import { accessSync, constants, statSync } from 'node:fs';
import { isLoopback } from './loopback.ts';
import { environmentName } from './keys.ts';
import type { KeyName, Values } from './keys.ts';
import type { Config, S3Config } from './types.ts';

/** Secrets shorter than this can be guessed offline from one token (HS256 wants 256 bits). */
const SHORT_SECRET = 32;

const both = (key: KeyName) => `${key} (${environmentName(key)})`;

/** Adds to `problems`, and answers the warnings. */
export function checkConfig(config: Omit<Config, 'warnings'>, values: Values, problems: string[]): string[] {
  checkKeys(config, problems);
  checkTls(config, values, problems);
  checkPorts(config, problems);
  checkDisk(config, problems);
  checkRtmps(config, problems);
  checkS3(config, problems);
  checkWebhooks(config, problems);
  return shortSecrets(config);
}

function hasDevelopmentKey(config: Pick<Config, 'keys'>): boolean {
  return config.keys.devkey === 'secret';
}

function checkKeys(config: Pick<Config, 'keys' | 'http'>, problems: string[]): void {
  if (!hasDevelopmentKey(config) || isLoopback(config.http.host)) return;
  problems.push(
    `${both('http.host')} is "${config.http.host}", which others can reach, and the API key devkey still has the ` +
      `secret everybody knows: set ${both('keys')} to keys of your own, or listen on 127.0.0.1`,
  );
}

function shortSecrets(config: Pick<Config, 'keys'>): string[] {
  return Object.entries(config.keys)
    .filter(([name, secret]) => secret.length < SHORT_SECRET && !(name === 'devkey' && secret === 'secret'))
    .map(
      ([name]) =>
        `the secret of API key ${name} has fewer than ${SHORT_SECRET} characters and can be guessed; ` +
        `make one with: openssl rand -base64 36`,
    );
}

function checkTls(config: Pick<Config, 'tls'>, values: Values, problems: string[]): void {
  const [cert, key] = [values['tls.cert'], values['tls.key']];
  if ((cert === undefined) !== (key === undefined)) {
    const [there, missing] =
      cert === undefined ? (['tls.key', 'tls.cert'] as const) : (['tls.cert', 'tls.key'] as const);
    problems.push(`${both(there)} is set and ${both(missing)} is not: TLS needs both, or neither`);
  }
  if (config.tls === undefined) return;
  checkReadable('tls.cert', config.tls.cert, problems);
  checkReadable('tls.key', config.tls.key, problems);
}

function checkDisk({ worker }: Pick<Config, 'worker'>, problems: string[]): void {
  if (worker.minFreeDisk >= worker.stopFreeDisk) return;
  problems.push(
    `${both('worker.min_free_disk')} is less than ${both('worker.stop_free_disk')}: recordings would start only to be ended`,
  );
}

function checkRtmps({ ingress, tls }: Pick<Config, 'ingress' | 'tls'>, problems: string[]): void {
  if (ingress.rtmpsPort === undefined || tls !== undefined) return;
  problems.push(
    `${both('ingress.rtmps_port')} is ${ingress.rtmpsPort}: RTMPS needs a certificate, ` +
      `${both('tls.cert')} and ${both('tls.key')}`,
  );
}

function checkReadable(key: KeyName, path: string, problems: string[]): void {
  try {
    accessSync(path, constants.R_OK);
    if (!statSync(path).isFile())
      problems.push(`${both(key)} is "${path}": must be a PEM file, and it is no file`);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : 'cannot be read';
    problems.push(`${both(key)} is "${path}": must be a PEM file, and it ${reason}`);
  }
}

interface Span {
  readonly key: KeyName;
  readonly min: number;
  readonly max: number;
}

function checkPorts(
  { http, rtc, ingress }: Pick<Config, 'http' | 'rtc' | 'ingress'>,
  problems: string[],
): void {
  const perWorker = (key: KeyName, first: number): Span => ({
    key,
    min: first,
    max: first + rtc.workers - 1,
  });
  const httpSpan: Span = { key: 'http.port', min: http.port, max: http.port };
  const udp = perWorker('rtc.udp_port', rtc.udpPort);
  const tcp = perWorker('rtc.tcp_port', rtc.tcpPort);
  const rtmp: Span = { key: 'ingress.rtmp_port', min: ingress.rtmpPort, max: ingress.rtmpPort };
  const rtmpsPort = ingress.rtmpsPort ?? 0;
  const rtmps: Span = { key: 'ingress.rtmps_port', min: rtmpsPort, max: rtmpsPort };
  const plain: Span = { key: 'rtc.plain_port_range', ...rtc.plainPortRange };
  for (const span of [udp, tcp]) {
    if (span.max > 65535 && span.min > 0) {
      problems.push(
        `${both(span.key)} is ${span.min}: with rtc.workers ${rtc.workers} it reaches beyond 65535`,
      );
    }
  }
  for (const [a, b] of [
    [httpSpan, tcp],
    [rtmp, httpSpan],
    [rtmp, tcp],
    [rtmps, httpSpan],
    [rtmps, tcp],
    [rtmps, rtmp],
    [udp, plain],
  ] as const) {
    if (a.min === 0 || b.min === 0 || a.max < b.min || b.max < a.min) continue;
    problems.push(`${both(a.key)} is ${show(a)} and ${both(b.key)} is ${show(b)}: they must not overlap`);
  }
}

const show = ({ min, max }: Span) => (min === max ? `${min}` : `${min}-${max}`);

function checkS3({ storage }: Pick<Config, 'storage'>, problems: string[]): void {
  checkBucket(storage.type === 's3', storage.s3, 'storage', problems);
  const { backup } = storage;
  if (backup?.type === 's3') checkBucket(true, backup.s3, 'storage.backup', problems);
}

function checkBucket(
  isUsed: boolean,
  { bucket, accessKey, secret, sessionToken }: S3Config,
  at: 'storage' | 'storage.backup',
  problems: string[],
): void {
  if (isUsed && bucket === '') {
    problems.push(`${both(`${at}.type`)} is "s3" and ${both(`${at}.s3.bucket`)} is not set: name the bucket`);
  }
  if ((accessKey === '') !== (secret === '')) {
    problems.push(
      `of ${both(`${at}.s3.access_key`)} and ${both(`${at}.s3.secret`)} only one is set: set both, or neither ` +
        `to use the AWS SDK's own credentials (environment, profile, instance role)`,
    );
  }
  if (sessionToken !== '' && accessKey === '') {
    problems.push(`${both(`${at}.s3.session_token`)} is set without ${both(`${at}.s3.access_key`)}`);
  }
}

function checkWebhooks({ webhook, keys }: Pick<Config, 'webhook' | 'keys'>, problems: string[]): void {
  if (Object.hasOwn(keys, webhook.apiKey)) return;
  problems.push(
    `${both('webhook.api_key')} is "${webhook.apiKey}": must be the name of an API key that is in keys ` +
      `(${Object.keys(keys).join(', ')})`,
  );
}
