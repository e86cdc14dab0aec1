/** The configuration as the code sees it: complete, validated, never changed after start. */

/** A STUN or TURN server as `rtc.ice_servers` names it. */
export interface IceServerConfig {
  /** `stun:`, `stuns:`, `turn:` or `turns:` URLs. */
  readonly urls: readonly string[];
  /** Static TURN credentials. */
  readonly username?: string;
  readonly credential?: string;
  /** Shared secret of the TURN server (coturn's `static-auth-secret`): credentials are made a client. */
  readonly secret?: string;
  /** Seconds a credential made from `secret` is good for. */
  readonly ttl: number;
}

export interface S3Config {
  readonly bucket: string;
  readonly region: string;
  /** Empty: AWS itself. */
  readonly endpoint: string;
  /** Empty: the AWS SDK's own chain (environment, profile, instance role). */
  readonly accessKey: string;
  readonly secret: string;
  readonly sessionToken: string;
  readonly forcePathStyle: boolean;
}

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

export interface Config {
  /** The file that was read, absolute; undefined when there was none. */
  readonly file: string | undefined;
  readonly http: {
    readonly host: string;
    /** 0: any free port. */
    readonly port: number;
    /** Open at once: HTTP, and WebSockets of the bridge. */
    readonly maxConnections: number;
    readonly maxConnectionsPerAddress: number;
    /** From one address, on average; 0: as many as come. */
    readonly maxRequestsPerSecond: number;
  };
  readonly rtc: {
    /** Of the first mediasoup worker; the next ones take the ports above. 0: any free port. */
    readonly udpPort: number;
    readonly tcpPort: number;
    /** Put into ICE candidates instead of the address listened on. */
    readonly announcedAddress: string | undefined;
    /** Ports of PlainTransports and of the workers' RTP sockets, both ends included. */
    readonly plainPortRange: { readonly min: number; readonly max: number };
    readonly iceServers: readonly IceServerConfig[];
    /** mediasoup workers. */
    readonly workers: number;
    /** WHIP and WHEP sessions whose media connection is not up yet, at once. */
    readonly maxPendingSessions: number;
    /** ICE over TCP. */
    readonly maxTcpConnections: number;
    readonly maxTcpConnectionsPerAddress: number;
  };
  readonly bridge: {
    /** Where workers reach this server's bridge; undefined: found by itself. */
    readonly url: string | undefined;
  };
  readonly worker: {
    /** Where the SFU reaches this worker's RTP sockets. */
    readonly address: string;
    /** Jobs at once; undefined: as many as the machine's CPU has room for. */
    readonly maxJobs: number | undefined;
    /** Ingresses at once; undefined: as many as the machine's CPU has room for. */
    readonly maxIngressJobs: number | undefined;
    /** Share of the machine's cores jobs may have, by what they are expected to cost. */
    readonly cpuLimit: number;
    /** Bytes that are to stay free beside a new recording. */
    readonly minFreeDisk: number;
    /** Bytes: recordings that run are ended when less is left for the rest. */
    readonly stopFreeDisk: number;
    /** How long a worker that is told to go waits for another one to hand its jobs to. */
    readonly drainMs: number;
  };
  readonly egress: {
    /** How long a job may wait for a worker to take it; 0: for ever. */
    readonly startDeadlineMs: number;
    /** Of segment outputs whose request does not say it; low latency where its storage can have it. */
    readonly hls: {
      readonly segmentType: 'mpegts' | 'fmp4';
      readonly lowLatency: boolean;
      /** Longest part of low latency, s. */
      readonly partDuration: number;
    };
    readonly web: {
      /** Chromium: a path, or a name in PATH. */
      readonly chromium: string;
      /** Where templates reach the server, `ws:` or `wss:`; undefined: as workers do. */
      readonly serverUrl: string | undefined;
      /** How long a page may take to load. */
      readonly loadTimeoutMs: number;
      /** How long a page may take to send START_RECORDING; 0: for ever. */
      readonly startTimeoutMs: number;
    };
    /** What every output is held to, whatever its request says; 0: no limit. */
    readonly limits: {
      /** Seconds. */
      readonly fileMaxDuration: number;
      /** Bytes. */
      readonly fileMaxSize: number;
      readonly segmentsMaxDuration: number;
      readonly streamMaxDuration: number;
      readonly imagesMaxDuration: number;
    };
  };
  readonly ingress: {
    /** 0: any free port. */
    readonly rtmpPort: number;
    /** Undefined: no RTMPS. Set only together with `tls`. */
    readonly rtmpsPort: number | undefined;
    /** What IngressInfo.url says for RTMP inputs, without a slash at its end; undefined: made of this server's own address. */
    readonly rtmpBaseUrl: string | undefined;
    /** The same for WHIP inputs. */
    readonly whipBaseUrl: string | undefined;
    /** Open at once, RTMP and RTMPS each. */
    readonly maxRtmpConnections: number;
    readonly maxRtmpConnectionsPerAddress: number;
    /** How long a publisher that has gone may take to come back into its session. */
    readonly graceMs: number;
    /** `address/prefix`: networks URL inputs may reach although they are not public, `outbound.allow_networks` among them. */
    readonly allowNetworks: readonly string[];
    /** Folders URL inputs may read files from, absolute. */
    readonly fileRoots: readonly string[];
  };
  readonly outbound: {
    /** `address/prefix`: networks that URLs of requests may lead to although they are not public. */
    readonly allowNetworks: readonly string[];
  };
  /** PEM files, absolute paths. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Absolute. */
  readonly dataDir: string;
  readonly redis: {
    /** Undefined: `sluice start` runs a redis-server of its own. May hold a password. */
    readonly url: string | undefined;
  };
  /** API key -> secret. */
  readonly keys: Readonly<Record<string, string>>;
  readonly storage: {
    readonly type: 'local' | 's3';
    /** Absolute. */
    readonly local: { readonly path: string };
    readonly s3: S3Config;
    /** Where roles that uploads assume are asked for; empty: AWS's STS of the region. */
    readonly stsEndpoint: string;
    /** How long the end of an egress waits for its storage; then the upload goes on in the background. */
    readonly uploadWaitMs: number;
    /** Uploads older than this are not tried any more. */
    readonly uploadGiveUpMs: number;
    /** Takes what the storage refuses, or cannot take for too long; undefined: there is none. */
    readonly backup:
      | { readonly type: 'local'; readonly path: string }
      | { readonly type: 's3'; readonly s3: S3Config }
      | undefined;
  };
  readonly webhook: {
    readonly urls: readonly string[];
    /** The API key webhooks are signed with. */
    readonly apiKey: string;
  };
  readonly log: {
    readonly level: LogLevel;
    /** `auto`: pretty on a terminal, JSON lines elsewhere. */
    readonly pretty: boolean | 'auto';
  };
  /** What is allowed but unwise, for the log at start. Holds no secret. */
  readonly warnings: readonly string[];
}
