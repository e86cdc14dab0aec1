/** Every configuration key there is. docs/configuration.md and config/sluice.example.yaml are tested against this. */
import {
  address,
  flag,
  flagOrAuto,
  httpUrls,
  iceServers,
  integer,
  keyMap,
  listenAddress,
  networks,
  oneOf,
  paths,
  port,
  portRange,
  text,
  url,
} from './kinds.ts';
import type { KeySpec } from './kinds.ts';

const path = () => text('a path');

export const KEYS = {
  'http.host': listenAddress(),
  'http.port': port(),
  'http.max_connections': integer(1, 1_000_000),
  'http.max_connections_per_address': integer(1, 1_000_000),
  'http.max_requests_per_second': integer(
    0,
    1_000_000,
    'a whole number from 1 to 1000000, or 0 for no limit',
  ),
  'rtc.udp_port': port(),
  'rtc.tcp_port': port(),
  'rtc.announced_address': address(),
  'rtc.plain_port_range': portRange(),
  'rtc.ice_servers': iceServers(),
  'rtc.workers': integer(1, 256),
  'rtc.max_pending_sessions': integer(1, 1_000_000),
  'rtc.max_tcp_connections': integer(1, 1_000_000),
  'rtc.max_tcp_connections_per_address': integer(1, 1_000_000),
  'bridge.url': url(['ws', 'wss']),
  'worker.address': address(),
  'worker.max_jobs': integer(1, 10000),
  'worker.max_ingress_jobs': integer(1, 10000),
  'worker.drain_deadline': integer(0, 86_400, 'a whole number of seconds from 0 to 86400'),
  'ingress.rtmp_port': port(),
  'ingress.rtmps_port': port(),
  'ingress.rtmp_base_url': url(['rtmp', 'rtmps']),
  'ingress.whip_base_url': url(['http', 'https']),
  'ingress.max_rtmp_connections': integer(1, 1_000_000),
  'ingress.max_rtmp_connections_per_address': integer(1, 1_000_000),
  'ingress.grace': integer(0, 3600, 'a whole number of seconds from 0 to 3600'),
  'ingress.allow_networks': networks(),
  'ingress.file_roots': paths(),
  'outbound.allow_networks': networks(),
  'tls.cert': path(),
  'tls.key': path(),
  data_dir: path(),
  'redis.url': url(['redis', 'rediss', 'unix'], { secret: true }),
  keys: keyMap(),
  'storage.type': oneOf(['local', 's3']),
  'storage.local.path': path(),
  'storage.s3.bucket': text('the name of a bucket', /^[A-Za-z0-9._-]{1,255}$/),
  'storage.s3.region': text('the name of a region, such as eu-central-1', /^[A-Za-z0-9-]+$/),
  'storage.s3.endpoint': url(['http', 'https'], { secret: true }),
  'storage.s3.access_key': text('an access key', /^\S+$/, { secret: true }),
  'storage.s3.secret': text('a secret access key', /^\S+$/, { secret: true }),
  'storage.s3.session_token': text('a session token', /^\S+$/, { secret: true }),
  'storage.s3.force_path_style': flag(),
  'webhook.urls': httpUrls(),
  'webhook.api_key': text('the name of an API key that is in keys', /^[^\s:,]+$/),
  'log.level': oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  'log.pretty': flagOrAuto(),
} satisfies Record<string, KeySpec<unknown>>;

export type KeyName = keyof typeof KEYS;

/** What was set, by key; what was not is missing. */
export type Values = {
  [K in KeyName]?: (typeof KEYS)[K] extends KeySpec<infer T> ? T : never;
};

export const KEY_NAMES = Object.keys(KEYS) as KeyName[];

/** `http.port` -> `SLUICE_HTTP_PORT`. */
export function environmentName(key: string): string {
  return `SLUICE_${key.replaceAll('.', '_').toUpperCase()}`;
}
