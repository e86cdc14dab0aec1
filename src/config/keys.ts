/** Every configuration key there is. docs/configuration.md and config/sluice.example.yaml are tested against this. */
import {
  address,
  byteSize,
  decimal,
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
const outputSeconds = () =>
  integer(0, 2_592_000, 'a whole number of seconds up to 2592000, or 0 for no limit');

/** The keys of one S3 bucket. */
function s3Keys<const P extends string>(prefix: P) {
  return {
    [`${prefix}.bucket` as const]: text('the name of a bucket', /^[A-Za-z0-9._-]{1,255}$/),
    [`${prefix}.region` as const]: text('the name of a region, such as eu-central-1', /^[A-Za-z0-9-]+$/),
    [`${prefix}.endpoint` as const]: url(['http', 'https'], { secret: true }),
    [`${prefix}.access_key` as const]: text('an access key', /^\S+$/, { secret: true }),
    [`${prefix}.secret` as const]: text('a secret access key', /^\S+$/, { secret: true }),
    [`${prefix}.session_token` as const]: text('a session token', /^\S+$/, { secret: true }),
    [`${prefix}.force_path_style` as const]: flag(),
  } as Record<
    `${P}.${'bucket' | 'region' | 'endpoint' | 'access_key' | 'secret' | 'session_token'}`,
    KeySpec<string>
  > &
    Record<`${P}.force_path_style`, KeySpec<boolean>>;
}

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
  'worker.cpu_limit': decimal(0.01, 100),
  'worker.min_free_disk': byteSize(),
  'worker.stop_free_disk': byteSize(),
  'worker.drain_deadline': integer(0, 86_400, 'a whole number of seconds from 0 to 86400'),
  'egress.hls.segment_type': oneOf(['mpegts', 'fmp4']),
  'egress.hls.low_latency': flag(),
  'egress.hls.part_duration': decimal(0.2, 1),
  'egress.start_deadline': integer(0, 86400, 'a whole number of seconds from 0 to 86400'),
  'egress.web.chromium': path(),
  'egress.web.server_url': url(['ws', 'wss']),
  'egress.web.load_timeout': integer(1, 600, 'a whole number of seconds from 1 to 600'),
  'egress.web.start_timeout': integer(0, 86_400, 'a whole number of seconds up to 86400, or 0 for no limit'),
  'egress.limits.file_max_duration': outputSeconds(),
  'egress.limits.file_max_size': byteSize(),
  'egress.limits.segments_max_duration': outputSeconds(),
  'egress.limits.stream_max_duration': outputSeconds(),
  'egress.limits.images_max_duration': outputSeconds(),
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
  ...s3Keys('storage.s3'),
  'storage.sts_endpoint': url(['http', 'https'], { secret: true }),
  'storage.upload_wait': integer(0, 3600, 'a whole number of seconds from 0 to 3600'),
  'storage.upload_give_up': integer(60, 31_536_000, 'a whole number of seconds from 60 to 31536000'),
  'storage.backup.type': oneOf(['none', 'local', 's3']),
  'storage.backup.local.path': path(),
  ...s3Keys('storage.backup.s3'),
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
