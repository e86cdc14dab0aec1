/** Our RTMP server for tests: what publishers send is kept, written to files, and whatever it logs is read. */
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { createRtmpServer, flvHeader, flvTag } from '../../src/ingress/inputs/rtmp/index.ts';
import type {
  Authorise,
  FlvTag,
  PublishRequest,
  RtmpLimits,
  RtmpPublisher,
  RtmpServer,
} from '../../src/ingress/inputs/rtmp/index.ts';

export interface Published {
  request: PublishRequest;
  publisher: RtmpPublisher;
  tags: FlvTag[];
  ends: { reason: string; orderly: boolean }[];
}

export interface LogLine {
  level: number;
  msg: string;
  reason?: string;
  [more: string]: unknown;
}

export interface RtmpReceiver {
  readonly server: RtmpServer;
  url(key: string, app?: string): string;
  readonly published: Published[];
  readonly log: LogLine[];
  /** Lines that say why a connection was closed. */
  closings(): LogLine[];
  /** Writes what came as FLV. @returns the file, of a folder that `close` removes */
  write(published: Published): Promise<string>;
  connect(): Promise<Socket>;
  close(): Promise<void>;
}

export async function startRtmpReceiver(
  options: {
    limits?: Partial<RtmpLimits>;
    tls?: { cert: Buffer; key: Buffer };
    refuse?: (request: PublishRequest) => string | undefined;
    /** Default true: tags are kept. */
    keep?: boolean;
  } = {},
): Promise<RtmpReceiver> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-rtmp-in-'));
  const published: Published[] = [];
  const log: LogLine[] = [];
  const authorise: Authorise = async (request, publisher) => {
    const reason = options.refuse?.(request);
    if (reason !== undefined) return { refuse: reason };
    const one: Published = { request, publisher, tags: [], ends: [] };
    published.push(one);
    return {
      accept: {
        tag: (tag) => {
          if (options.keep ?? true) one.tags.push(tag);
        },
        end: (reason, orderly) => one.ends.push({ reason, orderly }),
      },
    };
  };
  const server = await createRtmpServer({
    host: '127.0.0.1',
    port: 0,
    authorise,
    logger: pino({ base: null }, { write: (line: string) => void log.push(JSON.parse(line) as LogLine) }),
    ...(options.limits ? { limits: options.limits } : {}),
    ...(options.tls ? { tls: options.tls } : {}),
  });
  let files = 0;
  return {
    server,
    url: (key, app = 'live') => `rtmp${options.tls ? 's' : ''}://127.0.0.1:${server.port}/${app}/${key}`,
    published,
    log,
    closings: () => log.filter(({ msg }) => msg === 'RTMP connection closed'),
    write: async ({ tags }) => {
      const file = join(folder, `${files++}.flv`);
      const has = (type: string) => tags.some((tag) => tag.type === type);
      const header = flvHeader({ audio: has('audio'), video: has('video') });
      await writeFile(file, Buffer.concat([header, ...tags.map(flvTag)]));
      return file;
    },
    connect: () =>
      new Promise((resolve, reject) => {
        const socket = createConnection(server.port, '127.0.0.1', () => resolve(socket));
        socket.once('error', reject);
      }),
    close: async () => {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
