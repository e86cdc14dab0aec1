import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import {
  ConfigError,
  KEY_NAMES,
  clientIceServers,
  environmentName,
  isLoopback,
  loadConfig,
} from '../../src/config/index.ts';

const STRONG = 'x'.repeat(32);
const repository = join(import.meta.dirname, '../..');
let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'sluice-config-'));
});
afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

function withYaml(yaml: string, env: Record<string, string> = {}) {
  mkdirSync(join(cwd, 'config'), { recursive: true });
  writeFileSync(join(cwd, 'config/sluice.yaml'), yaml);
  return loadConfig({ env, cwd });
}

function problemsOf(load: () => unknown): readonly string[] {
  try {
    load();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('nothing was wrong with it');
}

describe('defaults', () => {
  it('run on this machine alone', () => {
    expect(loadConfig({ env: {}, cwd })).toEqual({
      file: undefined,
      http: {
        host: '127.0.0.1',
        port: 7880,
        maxConnections: 4096,
        maxConnectionsPerAddress: 1024,
        maxRequestsPerSecond: 200,
      },
      rtc: {
        udpPort: 7882,
        tcpPort: 7882,
        announcedAddress: undefined,
        plainPortRange: { min: 40000, max: 49999 },
        iceServers: [],
        workers: 1,
        maxPendingSessions: 256,
        maxTcpConnections: 1024,
        maxTcpConnectionsPerAddress: 128,
      },
      bridge: { url: undefined },
      worker: {
        address: '127.0.0.1',
        maxJobs: undefined,
        maxIngressJobs: undefined,
        cpuLimit: 0.9,
        minFreeDisk: 1_073_741_824,
        stopFreeDisk: 268_435_456,
        drainMs: 30_000,
      },
      egress: {
        startDeadlineMs: 60_000,
        web: {
          ...{ chromium: 'chromium', serverUrl: undefined, loadTimeoutMs: 30_000, startTimeoutMs: 0 },
        },
        hls: { segmentType: 'mpegts', lowLatency: false, partDuration: 0.4 },
        limits: {
          ...{ fileMaxDuration: 0, fileMaxSize: 0, segmentsMaxDuration: 0 },
          ...{ streamMaxDuration: 0, imagesMaxDuration: 0 },
        },
      },
      ingress: {
        rtmpPort: 1935,
        rtmpsPort: undefined,
        rtmpBaseUrl: undefined,
        whipBaseUrl: undefined,
        maxRtmpConnections: 1000,
        maxRtmpConnectionsPerAddress: 100,
        graceMs: 10_000,
        allowNetworks: [],
        fileRoots: [],
      },
      outbound: { allowNetworks: [] },
      tls: undefined,
      dataDir: join(cwd, 'data'),
      redis: { url: undefined },
      keys: { devkey: 'secret' },
      storage: {
        type: 'local',
        local: { path: join(cwd, 'data/recordings') },
        s3: {
          bucket: '',
          region: 'us-east-1',
          endpoint: '',
          accessKey: '',
          secret: '',
          sessionToken: '',
          forcePathStyle: false,
        },
        stsEndpoint: '',
        uploadWaitMs: 30_000,
        uploadGiveUpMs: 604_800_000,
        backup: undefined,
      },
      webhook: { urls: [], apiKey: 'devkey' },
      log: { level: 'info', pretty: 'auto' },
      warnings: [],
    });
  });

  it('are frozen to the bottom', () => {
    const config = loadConfig({ env: {}, cwd });
    expect(() => Object.assign(config.rtc.plainPortRange, { min: 1 })).toThrow(TypeError);
    expect(() => Object.assign(config.keys, { other: 'x' })).toThrow(TypeError);
  });
});

describe('the example and the documentation', () => {
  const example = readFileSync(join(repository, 'config/sluice.example.yaml'), 'utf8');

  it('parses to the defaults', () => {
    const { file: _, ...defaults } = loadConfig({ env: {}, cwd });
    const { file, ...fromExample } = withYaml(example);
    expect(file).toBe(join(cwd, 'config/sluice.yaml'));
    expect(fromExample).toEqual(defaults);
  });

  it('has every key, and the commented ones are valid too', () => {
    const uncommented = example.replace(/^(\s*)#([a-z_]+:)/gm, '$1$2');
    const paths: string[] = [];
    const collect = (value: unknown, path: string): void => {
      if ((KEY_NAMES as string[]).includes(path)) paths.push(path);
      else for (const [k, v] of Object.entries(value as object)) collect(v, path === '' ? k : `${path}.${k}`);
    };
    collect(parse(uncommented), '');
    expect(paths.toSorted()).toEqual(KEY_NAMES.toSorted());
    const pem = join(cwd, 'file.pem');
    writeFileSync(pem, '');
    expect(() => withYaml(uncommented.replaceAll(/\/etc\/sluice\/\w+\.pem/g, pem))).not.toThrow();
  });

  it('documents every key and variable, and no other', () => {
    const docs = readFileSync(join(repository, 'docs/configuration.md'), 'utf8');
    const rows = [...docs.matchAll(/^\| `([a-z0-9_.]+)` \| `([A-Z0-9_]+)` \|/gm)].map(([, key, name]) => [
      key,
      name,
    ]);
    expect(rows.toSorted()).toEqual(KEY_NAMES.map((key) => [key, environmentName(key)]).toSorted());
  });
});

describe('sources', () => {
  it('lets the environment win over the file, key by key', () => {
    const config = withYaml('http: { port: 1000, host: "::1" }\nrtc: { workers: 2 }', {
      SLUICE_HTTP_PORT: '2000',
    });
    expect(config.http).toMatchObject({ host: '::1', port: 2000 });
    expect(config.rtc.workers).toBe(2);
  });

  it('takes every key from the environment', () => {
    const cert = join(cwd, 'c.pem');
    writeFileSync(cert, '');
    const set: Record<string, string> = {
      'http.host': '0.0.0.0',
      'http.port': '1',
      'http.max_connections': '11',
      'http.max_connections_per_address': '12',
      'http.max_requests_per_second': '0',
      'rtc.udp_port': '2',
      'rtc.tcp_port': '3',
      'rtc.announced_address': '203.0.113.7',
      'rtc.plain_port_range': '100-200',
      'rtc.ice_servers': '[{"urls":"turn:t","secret":"s"}]',
      'rtc.workers': '4',
      'rtc.max_pending_sessions': '13',
      'rtc.max_tcp_connections': '14',
      'rtc.max_tcp_connections_per_address': '15',
      'bridge.url': 'wss://s.example.com/bridge',
      'worker.address': 'w.example.com',
      'worker.max_jobs': '5',
      'worker.max_ingress_jobs': '6',
      'worker.cpu_limit': '0.75',
      'worker.min_free_disk': '1.5 GiB',
      'worker.stop_free_disk': '1000',
      'egress.start_deadline': '18',
      'egress.web.chromium': '/opt/chrome',
      'egress.web.server_url': 'wss://pages.example.com/',
      'egress.web.load_timeout': '12',
      'egress.web.start_timeout': '90',
      'egress.hls.segment_type': 'fmp4',
      'egress.hls.low_latency': 'true',
      'egress.hls.part_duration': '0.5',
      'egress.limits.file_max_duration': '3600',
      'egress.limits.file_max_size': '4GiB',
      'egress.limits.segments_max_duration': '3601',
      'egress.limits.stream_max_duration': '3602',
      'egress.limits.images_max_duration': '3603',
      'worker.drain_deadline': '7',
      'ingress.rtmp_port': '7',
      'ingress.rtmps_port': '8',
      'ingress.rtmp_base_url': 'rtmps://in.example.com/live/',
      'ingress.whip_base_url': 'https://in.example.com/whip',
      'ingress.max_rtmp_connections': '16',
      'ingress.max_rtmp_connections_per_address': '17',
      'ingress.grace': '30',
      'ingress.allow_networks': '192.168.1.0/24, fd00::/8, 10.0.0.5',
      'ingress.file_roots': '/srv/media, clips',
      'outbound.allow_networks': '127.0.0.1',
      'tls.cert': 'c.pem',
      'tls.key': cert,
      data_dir: 'elsewhere',
      'redis.url': 'rediss://:p@r:1/2',
      keys: `a:${STRONG}, b:${STRONG}`,
      'storage.type': 's3',
      'storage.local.path': 'rec',
      'storage.s3.bucket': 'bkt',
      'storage.s3.region': 'eu-central-1',
      'storage.s3.endpoint': 'http://s3:9000',
      'storage.s3.access_key': 'ak',
      'storage.s3.secret': 'sk',
      'storage.s3.session_token': 'st',
      'storage.s3.force_path_style': 'true',
      'storage.sts_endpoint': 'https://sts.example.com',
      'storage.upload_wait': '45',
      'storage.upload_give_up': '3600',
      'storage.backup.type': 's3',
      'storage.backup.local.path': 'backup',
      'storage.backup.s3.bucket': 'bkt2',
      'storage.backup.s3.region': 'eu-west-1',
      'storage.backup.s3.endpoint': 'http://s4:9000',
      'storage.backup.s3.access_key': 'ak2',
      'storage.backup.s3.secret': 'sk2',
      'storage.backup.s3.session_token': 'st2',
      'storage.backup.s3.force_path_style': 'true',
      'webhook.urls': 'http://a/x, https://b/y',
      'webhook.api_key': 'b',
      'log.level': 'debug',
      'log.pretty': 'false',
    };
    expect(Object.keys(set).toSorted()).toEqual(KEY_NAMES.toSorted());
    const env = Object.fromEntries(Object.entries(set).map(([key, value]) => [environmentName(key), value]));
    expect(loadConfig({ env, cwd })).toEqual({
      file: undefined,
      http: {
        host: '0.0.0.0',
        port: 1,
        maxConnections: 11,
        maxConnectionsPerAddress: 12,
        maxRequestsPerSecond: 0,
      },
      rtc: {
        udpPort: 2,
        tcpPort: 3,
        announcedAddress: '203.0.113.7',
        plainPortRange: { min: 100, max: 200 },
        iceServers: [{ urls: ['turn:t'], secret: 's', ttl: 86400 }],
        workers: 4,
        maxPendingSessions: 13,
        maxTcpConnections: 14,
        maxTcpConnectionsPerAddress: 15,
      },
      bridge: { url: 'wss://s.example.com/bridge' },
      worker: {
        address: 'w.example.com',
        maxJobs: 5,
        maxIngressJobs: 6,
        cpuLimit: 0.75,
        minFreeDisk: 1_610_612_736,
        stopFreeDisk: 1000,
        drainMs: 7000,
      },
      egress: {
        startDeadlineMs: 18_000,
        web: {
          ...{ chromium: '/opt/chrome', serverUrl: 'wss://pages.example.com' },
          ...{ loadTimeoutMs: 12_000, startTimeoutMs: 90_000 },
        },
        hls: { segmentType: 'fmp4', lowLatency: true, partDuration: 0.5 },
        limits: {
          ...{ fileMaxDuration: 3600, fileMaxSize: 2 ** 32, segmentsMaxDuration: 3601 },
          ...{ streamMaxDuration: 3602, imagesMaxDuration: 3603 },
        },
      },
      ingress: {
        rtmpPort: 7,
        rtmpsPort: 8,
        rtmpBaseUrl: 'rtmps://in.example.com/live',
        whipBaseUrl: 'https://in.example.com/whip',
        maxRtmpConnections: 16,
        maxRtmpConnectionsPerAddress: 17,
        graceMs: 30_000,
        allowNetworks: ['192.168.1.0/24', 'fd00::/8', '10.0.0.5/32', '127.0.0.1/32'],
        fileRoots: ['/srv/media', join(cwd, 'clips')],
      },
      outbound: { allowNetworks: ['127.0.0.1/32'] },
      tls: { cert, key: cert },
      dataDir: join(cwd, 'elsewhere'),
      redis: { url: 'rediss://:p@r:1/2' },
      keys: { a: STRONG, b: STRONG },
      storage: {
        type: 's3',
        local: { path: join(cwd, 'rec') },
        s3: {
          bucket: 'bkt',
          region: 'eu-central-1',
          endpoint: 'http://s3:9000',
          accessKey: 'ak',
          secret: 'sk',
          sessionToken: 'st',
          forcePathStyle: true,
        },
        stsEndpoint: 'https://sts.example.com',
        uploadWaitMs: 45_000,
        uploadGiveUpMs: 3_600_000,
        backup: {
          type: 's3',
          s3: {
            bucket: 'bkt2',
            region: 'eu-west-1',
            endpoint: 'http://s4:9000',
            accessKey: 'ak2',
            secret: 'sk2',
            sessionToken: 'st2',
            forcePathStyle: true,
          },
        },
      },
      webhook: { urls: ['http://a/x', 'https://b/y'], apiKey: 'b' },
      log: { level: 'debug', pretty: false },
      warnings: [],
    });
  });

  it.each([
    ['a YAML map', `keys:\n  a: ${STRONG}`],
    ['a text of YAML lines', `keys: |\n  a: ${STRONG}\n`],
    ['pairs', `keys: "a:${STRONG}"`],
    ['JSON', `keys: '{"a":"${STRONG}"}'`],
  ])('takes keys as %s', (_, yaml) => {
    expect(withYaml(yaml).keys).toEqual({ a: STRONG });
  });

  it('reads the file that is named, and wants it to exist', () => {
    writeFileSync(join(cwd, 'other.yaml'), 'http: { port: 99 }');
    expect(loadConfig({ env: { SLUICE_CONFIG: 'other.yaml' }, cwd }).http.port).toBe(99);
    expect(
      loadConfig({ env: { SLUICE_CONFIG: 'x' }, cwd, argv: ['start', '--config', 'other.yaml'] }).http.port,
    ).toBe(99);
    expect(loadConfig({ env: {}, cwd, argv: ['--config=other.yaml'] }).http.port).toBe(99);
    expect(problemsOf(() => loadConfig({ env: { SLUICE_CONFIG: 'none.yaml' }, cwd }))).toEqual([
      'the file none.yaml (SLUICE_CONFIG) does not exist',
    ]);
  });

  it('takes an empty file, empty sections and empty variables as nothing said', () => {
    expect(withYaml('').http.port).toBe(7880);
    expect(withYaml('http:\nkeys:\n', { SLUICE_HTTP_PORT: '' }).http.port).toBe(7880);
  });

  it('is not disturbed by what Kubernetes and our own scripts put into the environment', () => {
    const env = {
      SLUICE_SERVICE_HOST: '10.0.0.1',
      SLUICE_SERVICE_PORT: '7880',
      SLUICE_PORT: 'tcp://10.0.0.1:7880',
      SLUICE_PORT_7880_TCP_ADDR: '10.0.0.1',
      SLUICE_WORKER_SERVICE_PORT_HTTP: '1',
      SLUICE_TEST_KEEP: '1',
    };
    expect(() => loadConfig({ env, cwd })).not.toThrow();
  });
});

describe('errors', () => {
  it.each([
    [
      'http: { port: eighty }',
      {},
      'http.port (SLUICE_HTTP_PORT) is "eighty" in config/sluice.yaml: must be a port from 1 to 65535, or 0 for any free one',
    ],
    [
      '',
      { SLUICE_HTTP_PORT: '70000' },
      'http.port (SLUICE_HTTP_PORT) is 70000 in the environment: must be a port from 1 to 65535, or 0 for any free one',
    ],
    [
      '',
      { SLUICE_HTTP_PORT: '0x50' },
      'http.port (SLUICE_HTTP_PORT) is "0x50" in the environment: must be a port from 1 to 65535, or 0 for any free one',
    ],
    [
      'rtc: { plain_port_range: 500-400 }',
      {},
      'rtc.plain_port_range (SLUICE_RTC_PLAIN_PORT_RANGE) is "500-400" in config/sluice.yaml: must be two ports with a dash, lower first, from 1 to 65535, such as 40000-49999',
    ],
    [
      'storage: { type: ftp }',
      {},
      'storage.type (SLUICE_STORAGE_TYPE) is "ftp" in config/sluice.yaml: must be one of local, s3',
    ],
    [
      '',
      { SLUICE_LOG_PRETTY: 'yes' },
      'log.pretty (SLUICE_LOG_PRETTY) is "yes" in the environment: must be true, false or auto',
    ],
    [
      'http: 80',
      {},
      'http in config/sluice.yaml must be a map with host, port, max_connections, max_connections_per_address, max_requests_per_second',
    ],
    ['- a', {}, 'config/sluice.yaml must be a map of keys'],
    ['htpp: { port: 1 }', {}, 'htpp in config/sluice.yaml: there is no such key; did you mean http?'],
    [
      'http: { prot: 1 }',
      {},
      'http.prot in config/sluice.yaml: there is no such key; did you mean http.port?',
    ],
    [
      'rtc: { udpPort: 1 }',
      {},
      'rtc.udpPort in config/sluice.yaml: there is no such key; did you mean rtc.udp_port?',
    ],
    ['port: 1', {}, 'port in config/sluice.yaml: there is no such key; did you mean http.port?'],
    ['completely_else: 1', {}, 'completely_else in config/sluice.yaml: there is no such key'],
    [
      '',
      { SLUICE_HTPP_PORT: '1' },
      'SLUICE_HTPP_PORT in the environment: there is no such key; did you mean SLUICE_HTTP_PORT?',
    ],
    ['http: { port: 1', {}, 'config/sluice.yaml, line 1, column 16: not valid YAML (bad indent)'],
    ['http: {}\nhttp: {}', {}, 'config/sluice.yaml, line 2, column 1: not valid YAML (duplicate key)'],
    [
      'webhook: { api_key: nobody }',
      {},
      'webhook.api_key (SLUICE_WEBHOOK_API_KEY) is "nobody": must be the name of an API key that is in keys (devkey)',
    ],
    [
      'storage: { backup: { type: s3 } }',
      {},
      'storage.backup.type (SLUICE_STORAGE_BACKUP_TYPE) is "s3" and storage.backup.s3.bucket (SLUICE_STORAGE_BACKUP_S3_BUCKET) is not set: name the bucket',
    ],
    [
      'storage: { type: s3 }',
      {},
      'storage.type (SLUICE_STORAGE_TYPE) is "s3" and storage.s3.bucket (SLUICE_STORAGE_S3_BUCKET) is not set: name the bucket',
    ],
    [
      'http: { port: 7882 }',
      {},
      'http.port (SLUICE_HTTP_PORT) is 7882 and rtc.tcp_port (SLUICE_RTC_TCP_PORT) is 7882: they must not overlap',
    ],
    [
      'rtc: { udp_port: 39999, workers: 2 }',
      {},
      'rtc.udp_port (SLUICE_RTC_UDP_PORT) is 39999-40000 and rtc.plain_port_range (SLUICE_RTC_PLAIN_PORT_RANGE) is 40000-49999: they must not overlap',
    ],
    [
      'ingress: { rtmps_port: 1936 }',
      {},
      'ingress.rtmps_port (SLUICE_INGRESS_RTMPS_PORT) is 1936: RTMPS needs a certificate, tls.cert (SLUICE_TLS_CERT) and tls.key (SLUICE_TLS_KEY)',
    ],
    [
      'ingress: { rtmp_port: 7880 }',
      {},
      'ingress.rtmp_port (SLUICE_INGRESS_RTMP_PORT) is 7880 and http.port (SLUICE_HTTP_PORT) is 7880: they must not overlap',
    ],
    [
      'ingress: { allow_networks: [192.168.1.0/33] }',
      {},
      'ingress.allow_networks (SLUICE_INGRESS_ALLOW_NETWORKS) is ["192.168.1.0/33"] in config/sluice.yaml: must be networks such as 192.168.1.0/24 or fd00::/8, or single IP addresses: a list, or text with commas between them',
    ],
    [
      'ingress: { rtmp_base_url: "http://x/live" }',
      {},
      'ingress.rtmp_base_url (SLUICE_INGRESS_RTMP_BASE_URL) is "http://x/live" in config/sluice.yaml: must be a URL that starts with rtmp:// or rtmps://',
    ],
    [
      '',
      { SLUICE_INGRESS_GRACE: '2.5' },
      'ingress.grace (SLUICE_INGRESS_GRACE) is "2.5" in the environment: must be a whole number of seconds from 0 to 3600',
    ],
    [
      'rtc: { tcp_port: 65535, workers: 2 }',
      {},
      'rtc.tcp_port (SLUICE_RTC_TCP_PORT) is 65535: with rtc.workers 2 it reaches beyond 65535',
    ],
  ] as const)('%j %j', (yaml, env, problem) => {
    expect(problemsOf(() => withYaml(yaml, env))).toEqual([problem]);
  });

  it('are all told at once', () => {
    const problems = problemsOf(() => withYaml('http: { port: x, hots: y }', { SLUICE_LOG_LEVEL: 'loud' }));
    expect(problems).toHaveLength(3);
  });

  it.each([
    ['redis: { url: "http://me:TOPSECRET@r" }'],
    ['keys: TOPSECRET'],
    ['keys: { a: 12345678901234567890, b: TOPSECRET }'],
    ['keys: "a:TOPSECRET,a:TOPSECRET2"'],
    ['storage: { s3: { secret: "TOPSECRET with blanks", access_key: a } }'],
    ['storage: { s3: { secret: TOPSECRET } }'],
    ['rtc: { ice_servers: [{ urls: "turn:t", credential: TOPSECRET }] }'],
    ['rtc: { ice_servers: [{ urls: "http:t", secret: TOPSECRET }] }'],
    ['webhook: { urls: "ftp://me:TOPSECRET@x" }'],
    ['keys: { a: "TOPSECRET }'],
  ])('never show a secret: %s', (yaml) => {
    const problems = problemsOf(() => withYaml(yaml));
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join('\n')).not.toContain('TOPSECRET');
  });

  it.each([
    ['one without the other', { 'tls.cert': 'c.pem' }, 'TLS needs both, or neither'],
    [
      'files that are missing',
      { 'tls.cert': 'none.pem', 'tls.key': 'none.pem' },
      'must be a PEM file, and it does not exist',
    ],
    ['folders', { 'tls.cert': '.', 'tls.key': '.' }, 'must be a PEM file, and it is no file'],
  ])('refuse for TLS %s', (_, values, problem) => {
    writeFileSync(join(cwd, 'c.pem'), '');
    const env = Object.fromEntries(
      Object.entries(values).map(([key, value]) => [environmentName(key), value]),
    );
    expect(problemsOf(() => loadConfig({ env, cwd })).join('\n')).toContain(problem);
  });
});

it('listens on an address, not a name: localhost is 127.0.0.1', () => {
  expect(loadConfig({ env: { SLUICE_HTTP_HOST: 'localhost' }, cwd }).http.host).toBe('127.0.0.1');
  expect(problemsOf(() => loadConfig({ env: { SLUICE_HTTP_HOST: 'sluice.example.com' }, cwd }))).toEqual([
    'http.host (SLUICE_HTTP_HOST) is "sluice.example.com" in the environment: must be an IP address of this machine, ' +
      'localhost, or 0.0.0.0 or :: for all of them',
  ]);
});

describe('keys', () => {
  it.each(['0.0.0.0', '::', '192.168.1.4', '[2001:db8::1]'])('devkey: secret is refused on %s', (host) => {
    const [problem] = problemsOf(() => loadConfig({ env: { SLUICE_HTTP_HOST: host }, cwd }));
    expect(problem).toContain(`http.host (SLUICE_HTTP_HOST) is "${host.replace(/[[\]]/g, '')}"`);
    expect(problem).toContain('keys (SLUICE_KEYS)');
    expect(() =>
      loadConfig({ env: { SLUICE_HTTP_HOST: host, SLUICE_KEYS: `a:${STRONG}` }, cwd }),
    ).not.toThrow();
    // Not a way around it: another key beside it.
    expect(() =>
      loadConfig({ env: { SLUICE_HTTP_HOST: host, SLUICE_KEYS: `a:${STRONG},devkey:secret` }, cwd }),
    ).toThrow(ConfigError);
  });

  it('warns of short secrets by name, without the secret', () => {
    const { warnings } = loadConfig({ env: { SLUICE_KEYS: 'mine:shortish' }, cwd });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('API key mine');
    expect(warnings[0]).not.toContain('shortish');
  });

  it('signs webhooks with the first key unless told otherwise', () => {
    expect(loadConfig({ env: { SLUICE_KEYS: `z:${STRONG},a:${STRONG}` }, cwd }).webhook.apiKey).toBe('z');
  });
});

describe('isLoopback', () => {
  it.each([
    ['127.0.0.1', true],
    ['127.1.2.3', true],
    ['::1', true],
    ['[::1]', true],
    ['::ffff:127.0.0.1', true],
    ['localhost', true],
    ['0.0.0.0', false],
    ['::', false],
    ['127.evil.example.com', false],
    ['10.0.0.1', false],
  ])('%s: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});

describe('clientIceServers', () => {
  it('makes credentials from a shared secret as coturn checks them', () => {
    const servers = [
      { urls: ['stun:s'], ttl: 86400 },
      { urls: ['turn:t'], username: 'u', credential: 'c', ttl: 86400 },
      { urls: ['turn:t2'], secret: 'north', ttl: 600 },
    ];
    expect(clientIceServers(servers, { identity: 'alice', nowMs: 1_700_000_000_500 })).toEqual([
      { urls: ['stun:s'] },
      { urls: ['turn:t'], username: 'u', credential: 'c' },
      // echo -n 1700000600:alice | openssl dgst -sha1 -hmac north -binary | base64
      { urls: ['turn:t2'], username: '1700000600:alice', credential: 'gthUwOpcRoLI0MMCziCEBOWYnpo=' },
    ]);
  });
});
