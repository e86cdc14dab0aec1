/** The server's half of ingress: the doors publishers come through, and what puts lost sessions back into the queue. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import type { Config } from '../config/types.ts';
import { createRtmpServer } from '../ingress/inputs/rtmp/index.ts';
import type { RtmpServer } from '../ingress/inputs/rtmp/index.ts';
import { RtmpRelay } from '../ingress/relay/index.ts';
import type { IngressQueue } from '../jobs/queues.ts';
import type { IngressStore } from '../store/index.ts';

/** The application in `rtmp://host/live`; any other is taken too. */
const RTMP_APP = 'live';

export interface RtmpDoorOptions {
  config: Config;
  store: IngressStore;
  queue: IngressQueue;
  /** Where workers reach this server's HTTP, without a slash at its end. */
  httpUrl: () => string;
  bridgeUrl: () => string;
  logger: Logger;
}

/** RTMP and RTMPS with the relay behind them. */
export interface RtmpDoor {
  readonly relay: RtmpRelay;
  readonly port: number;
  readonly tlsPort: number | undefined;
  close(): Promise<void>;
}

/** @throws Error that names the port that could not be bound. */
export async function openRtmpDoor(options: RtmpDoorOptions): Promise<RtmpDoor> {
  const { config, store, queue, logger } = options;
  const relay = new RtmpRelay({
    ...{ store, queue, logger },
    graceMs: config.ingress.graceMs,
    relayUrl: options.httpUrl,
    bridgeUrl: options.bridgeUrl,
  });
  const servers: RtmpServer[] = [];
  const close = async () => {
    await Promise.all(servers.map((server) => server.close()));
    await relay.close();
  };
  const listen = async (port: number, tls?: { cert: Buffer; key: Buffer }): Promise<number> => {
    const server = await createRtmpServer({
      ...{ host: config.http.host, port, authorise: relay.authorise, logger },
      limits: {
        maxConnections: config.ingress.maxRtmpConnections,
        maxConnectionsPerAddress: config.ingress.maxRtmpConnectionsPerAddress,
      },
      ...(tls ? { tls } : {}),
    });
    servers.push(server);
    return server.port;
  };
  try {
    const { rtmpPort, rtmpsPort } = config.ingress;
    const { tls } = config;
    const port = await listen(rtmpPort);
    const tlsPort =
      rtmpsPort === undefined || tls === undefined
        ? undefined
        : await listen(rtmpsPort, { cert: readFileSync(tls.cert), key: readFileSync(tls.key) });
    return { relay, port, tlsPort, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * What IngressInfo.url says. Pure.
 * @param host this machine, as publishers reach it
 */
export function ingressUrls(
  { rtmpBaseUrl, whipBaseUrl }: Pick<Config['ingress'], 'rtmpBaseUrl' | 'whipBaseUrl'>,
  { host, rtmpPort, httpUrl }: { host: string; rtmpPort: number; httpUrl: string },
): { rtmp: string; whip: string } {
  const named = isIP(host) === 6 ? `[${host}]` : host;
  const port = rtmpPort === 1935 ? '' : `:${rtmpPort}`;
  return {
    rtmp: rtmpBaseUrl ?? `rtmp://${named}${port}/${RTMP_APP}`,
    whip: whipBaseUrl ?? `${httpUrl}/whip`,
  };
}
