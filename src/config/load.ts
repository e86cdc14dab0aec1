/** Reads, validates and completes the configuration. */
import { resolve } from 'node:path';
import { checkConfig } from './check.ts';
import { ConfigError } from './errors.ts';
import { KEYS, environmentName } from './keys.ts';
import type { KeyName, Values } from './keys.ts';
import { findFile, readEnvironment, readFileValues } from './sources.ts';
import type { RawValue, RawValues } from './sources.ts';
import type { Config, S3Config } from './types.ts';

export interface LoadOptions {
  /** Environment variables, as `process.env`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths are relative to it; default: the process's. */
  readonly cwd?: string;
  /** The command line's arguments; only `--config FILE` (or `--config=FILE`) is looked at, and wins over SLUICE_CONFIG. */
  readonly argv?: readonly string[];
}

/**
 * The configuration: defaults, then the YAML file (`--config`, SLUICE_CONFIG, or config/sluice.yaml when there is
 * one), then environment variables.
 * @throws ConfigError with everything that is wrong
 */
export function loadConfig({ env, cwd = process.cwd(), argv = [] }: LoadOptions): Config {
  const problems: string[] = [];
  const raw: RawValues = new Map();
  const file = findFile(fileFromArguments(argv) ?? (env.SLUICE_CONFIG || undefined), cwd, problems);
  if (file !== undefined) readFileValues(file, raw, problems);
  readEnvironment(env, raw, problems);

  const values = validate(raw, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  const config = complete(values, file?.path, cwd);
  const warnings = checkConfig(config, values, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return deepFreeze({ ...config, warnings });
}

function fileFromArguments(argv: readonly string[]): string | undefined {
  const at = argv.findIndex((argument) => argument === '--config' || argument.startsWith('--config='));
  const argument = argv[at];
  return argument === '--config' ? argv[at + 1] : argument?.slice('--config='.length);
}

function validate(raw: RawValues, problems: string[]): Values {
  const values: Record<string, unknown> = {};
  for (const [key, written] of raw) {
    const result = KEYS[key].schema.safeParse(written.value);
    if (result.success) values[key] = result.data;
    else problems.push(describe(key, written));
  }
  return values;
}

/** `http.port (SLUICE_HTTP_PORT) is "eighty" in the environment: must be …`. */
function describe(key: KeyName, written: RawValue): string {
  const { secret, allowed } = KEYS[key];
  const value = secret ? 'has a value that cannot be used' : `is ${shorten(written.value)}`;
  return `${key} (${environmentName(key)}) ${value} in ${written.from}: must be ${allowed}`;
}

function shorten(value: unknown): string {
  const text = shown(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** As JSON; an alias inside its own anchor makes a value that has none. */
function shown(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return 'a value that holds itself';
  }
}

/** Without configuration anybody on this machine may try everything; check.ts keeps it on this machine. */
export const DEVELOPMENT_KEYS: Readonly<Record<string, string>> = { devkey: 'secret' };

function complete(values: Values, file: string | undefined, cwd: string): Omit<Config, 'warnings'> {
  const dataDir = resolve(cwd, values.data_dir ?? 'data');
  const localPath = values['storage.local.path'];
  const keys = values.keys ?? DEVELOPMENT_KEYS;
  const outbound = values['outbound.allow_networks'] ?? [];
  const cert = values['tls.cert'];
  const key = values['tls.key'];
  return {
    file,
    http: {
      host: values['http.host'] ?? '127.0.0.1',
      port: values['http.port'] ?? 7880,
      maxConnections: values['http.max_connections'] ?? 4096,
      maxConnectionsPerAddress: values['http.max_connections_per_address'] ?? 1024,
      maxRequestsPerSecond: values['http.max_requests_per_second'] ?? 200,
    },
    rtc: {
      udpPort: values['rtc.udp_port'] ?? 7882,
      tcpPort: values['rtc.tcp_port'] ?? 7882,
      announcedAddress: values['rtc.announced_address'],
      plainPortRange: values['rtc.plain_port_range'] ?? { min: 40000, max: 49999 },
      iceServers: (values['rtc.ice_servers'] ?? []).map(withoutUndefined),
      workers: values['rtc.workers'] ?? 1,
      maxPendingSessions: values['rtc.max_pending_sessions'] ?? 256,
      maxTcpConnections: values['rtc.max_tcp_connections'] ?? 1024,
      maxTcpConnectionsPerAddress: values['rtc.max_tcp_connections_per_address'] ?? 128,
    },
    bridge: { url: values['bridge.url'] },
    worker: {
      address: values['worker.address'] ?? '127.0.0.1',
      maxJobs: values['worker.max_jobs'],
      maxIngressJobs: values['worker.max_ingress_jobs'],
      cpuLimit: values['worker.cpu_limit'] ?? 0.9,
      minFreeDisk: values['worker.min_free_disk'] ?? 2 ** 30,
      stopFreeDisk: values['worker.stop_free_disk'] ?? 2 ** 28,
      drainMs: (values['worker.drain_deadline'] ?? 30) * 1000,
    },
    egress: {
      startDeadlineMs: (values['egress.start_deadline'] ?? 60) * 1000,
      hls: {
        segmentType: values['egress.hls.segment_type'] ?? 'mpegts',
        lowLatency: values['egress.hls.low_latency'] ?? false,
        partDuration: values['egress.hls.part_duration'] ?? 0.4,
      },
      web: {
        chromium: values['egress.web.chromium'] ?? 'chromium',
        serverUrl: withoutSlash(values['egress.web.server_url']),
        loadTimeoutMs: (values['egress.web.load_timeout'] ?? 30) * 1000,
        startTimeoutMs: (values['egress.web.start_timeout'] ?? 0) * 1000,
      },
      limits: {
        fileMaxDuration: values['egress.limits.file_max_duration'] ?? 0,
        fileMaxSize: values['egress.limits.file_max_size'] ?? 0,
        segmentsMaxDuration: values['egress.limits.segments_max_duration'] ?? 0,
        streamMaxDuration: values['egress.limits.stream_max_duration'] ?? 0,
        imagesMaxDuration: values['egress.limits.images_max_duration'] ?? 0,
      },
    },
    ingress: {
      rtmpPort: values['ingress.rtmp_port'] ?? 1935,
      rtmpsPort: values['ingress.rtmps_port'],
      rtmpBaseUrl: withoutSlash(values['ingress.rtmp_base_url']),
      whipBaseUrl: withoutSlash(values['ingress.whip_base_url']),
      maxRtmpConnections: values['ingress.max_rtmp_connections'] ?? 1000,
      maxRtmpConnectionsPerAddress: values['ingress.max_rtmp_connections_per_address'] ?? 100,
      graceMs: (values['ingress.grace'] ?? 10) * 1000,
      allowNetworks: [...(values['ingress.allow_networks'] ?? []), ...outbound],
      fileRoots: (values['ingress.file_roots'] ?? []).map((root) => resolve(cwd, root)),
    },
    outbound: { allowNetworks: outbound },
    tls:
      cert !== undefined && key !== undefined
        ? { cert: resolve(cwd, cert), key: resolve(cwd, key) }
        : undefined,
    dataDir,
    redis: { url: values['redis.url'] },
    keys,
    storage: {
      type: values['storage.type'] ?? 'local',
      local: { path: localPath === undefined ? resolve(dataDir, 'recordings') : resolve(cwd, localPath) },
      s3: s3Of(values, 'storage.s3'),
      stsEndpoint: values['storage.sts_endpoint'] ?? '',
      uploadWaitMs: (values['storage.upload_wait'] ?? 30) * 1000,
      uploadGiveUpMs: (values['storage.upload_give_up'] ?? 7 * 24 * 3600) * 1000,
      backup: backupOf(values, dataDir, cwd),
    },
    webhook: {
      urls: values['webhook.urls'] ?? [],
      apiKey: values['webhook.api_key'] ?? Object.keys(keys)[0] ?? '',
    },
    log: { level: values['log.level'] ?? 'info', pretty: values['log.pretty'] ?? 'auto' },
  };
}

function s3Of(values: Values, prefix: 'storage.s3' | 'storage.backup.s3'): S3Config {
  return {
    bucket: values[`${prefix}.bucket`] ?? '',
    region: values[`${prefix}.region`] ?? 'us-east-1',
    endpoint: values[`${prefix}.endpoint`] ?? '',
    accessKey: values[`${prefix}.access_key`] ?? '',
    secret: values[`${prefix}.secret`] ?? '',
    sessionToken: values[`${prefix}.session_token`] ?? '',
    forcePathStyle: values[`${prefix}.force_path_style`] ?? false,
  };
}

function backupOf(values: Values, dataDir: string, cwd: string): Config['storage']['backup'] {
  switch (values['storage.backup.type'] ?? 'none') {
    case 'none':
      return undefined;
    case 's3':
      return { type: 's3', s3: s3Of(values, 'storage.backup.s3') };
    case 'local': {
      const path = values['storage.backup.local.path'];
      return { type: 'local', path: path === undefined ? resolve(dataDir, 'backup') : resolve(cwd, path) };
    }
  }
}

/** Stream keys are put behind it. */
function withoutSlash(url: string | undefined): string | undefined {
  return url?.replace(/\/+$/, '');
}

/** zod writes `undefined` for what is missing; with exactOptionalPropertyTypes missing means missing. */
type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };
function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as Defined<T>;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
