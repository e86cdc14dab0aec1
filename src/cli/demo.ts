/** `sluice demo`: the main job once, on real media, with what it made in a table. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import { loadConfig } from '../config/index.ts';
import { ApiClient } from '../demo/api-client.ts';
import { startTestPublisher } from '../demo/publisher.ts';
import type { TestPublisher } from '../demo/publisher.ts';
import { startRtmpReceiver } from '../demo/rtmp-receiver.ts';
import { reportOn } from '../demo/report.ts';
import { progressBar, table } from '../demo/table.ts';
import { isEnded } from '../egress/ended.ts';
import { createLogger } from '../logging.ts';
import { startSluice } from '../service/start.ts';
import { untilSignal } from './run.ts';

const ROOM = 'demo';
const WAIT_MS = 30_000;

/** Who is in the room, left and right in the picture. */
const CALLERS = [
  { identity: 'alice', color: 'red' },
  { identity: 'bob', color: 'green' },
] as const;

export interface DemoOptions {
  /** How long to record. */
  seconds: number;
  /** Leave the server running afterwards. */
  keep: boolean;
}

const say = (text: string) => void process.stdout.write(`${text}\n`);

/** @returns the process's exit code */
export async function runDemo(
  { seconds, keep }: DemoOptions,
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  // The story is told on the terminal; the log speaks up only when something is wrong.
  // Nobody publishes RTMP to it, so it takes no known port from somebody who does.
  // It streams to a receiver of its own, on this machine.
  const defaults = {
    SLUICE_LOG_LEVEL: 'warn',
    SLUICE_INGRESS_RTMP_PORT: '0',
    SLUICE_OUTBOUND_ALLOW_NETWORKS: '127.0.0.0/8, ::1',
  };
  const config = loadConfig({ env: { ...defaults, ...env }, argv: process.argv });
  const logger = createLogger(config);
  const fatal = Promise.withResolvers<never>();
  const interrupted = Promise.race([
    fatal.promise,
    untilSignal(logger).then(() => {
      throw new Error('interrupted');
    }),
  ]);
  interrupted.catch(() => undefined);
  const owned: (() => Promise<unknown>)[] = [];
  try {
    say('Starting server and worker');
    const sluice = await startSluice({ config, role: 'all', logger, onFatal: fatal.reject });
    owned.push(() => sluice.close());
    if (sluice.url === undefined) throw new Error('the server has no URL');
    say(`  API, WHIP and WHEP on ${sluice.url}`);
    const ok = await Promise.race([
      recordCall(sluice.url, seconds, { config, logger, keep, owned }),
      interrupted,
    ]);
    if (keep) {
      say(`\nThe server runs on at ${sluice.url}. Press Ctrl-C to stop it.`);
      await interrupted.catch(() => undefined);
    }
    return ok ? 0 : 1;
  } catch (error) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    say('Stopping');
    for (const end of owned.reverse()) {
      await end().catch((error: unknown) => logger.error({ err: error }, 'not stopped in order'));
    }
  }
}

interface DemoParts {
  config: ReturnType<typeof loadConfig>;
  logger: Logger;
  keep: boolean;
  /** What to end, last first. */
  owned: (() => Promise<unknown>)[];
}

async function recordCall(
  url: string,
  seconds: number,
  { config, logger, keep, owned }: DemoParts,
): Promise<boolean> {
  const [key = '', secret = ''] = Object.entries(config.keys)[0] ?? [];
  const api = new ApiClient({ url, key, secret });

  say(`Publishing ${CALLERS.length} test participants into room "${ROOM}" over WHIP`);
  await api.createRoom(ROOM);
  const publishers: TestPublisher[] = [];
  for (const { identity, color } of CALLERS) {
    const publisher = await startTestPublisher({
      whipUrl: `${url}/whip`,
      token: await api.publisherToken(ROOM, identity),
      color,
      logger,
    });
    owned.push(() => publisher.stop());
    publishers.push(publisher);
    say(`  ${identity}: ${color}, beeping at ${publisher.pitch} Hz`);
  }

  const receiver = await startRtmpReceiver(join(config.dataDir, 'demo'), logger);
  owned.push(() => receiver.stop());
  say(`Receiving RTMP on ${receiver.url}`);

  const name = `demo-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}`;
  const { egressId } = await api.startRoomComposite({
    room_name: ROOM,
    layout: 'grid',
    file_outputs: [{ filepath: `${name}/call.mp4` }],
    segment_outputs: [
      { filename_prefix: `${name}/hls/call`, playlist_name: 'call.m3u8', segment_duration: 4 },
    ],
    stream_outputs: [{ protocol: 'RTMP', urls: [receiver.url] }],
  });
  await waitFor(api, egressId, (info) => info.status !== EgressStatus.EGRESS_STARTING);
  say(`Recording, broadcasting and restreaming (${egressId})`);
  const hlsUrl = config.storage.type === 'local' ? `${url}/files/${name}/hls/call.m3u8` : '';
  if (hlsUrl) say(`  watch it live: ${hlsUrl}`);
  await showProgress(seconds);

  await api.stopEgress(egressId);
  const info = await waitFor(api, egressId, ({ status }) => isEnded(status));
  for (const publisher of publishers) await publisher.stop();
  await receiver.stop();

  const rows = await reportOn({ info, hlsUrl, rtmpFile: receiver.file, callers: CALLERS });
  say(`\n${table(rows)}`);
  if (!keep && hlsUrl)
    say('\nThe files stay; with --keep the server stays too, and the broadcast can be watched at its URL.');
  if (info.status !== EgressStatus.EGRESS_COMPLETE) {
    process.stderr.write(`the egress ended as ${EgressStatus[info.status]}: ${info.error}\n`);
    return false;
  }
  return true;
}

async function waitFor(
  api: ApiClient,
  egressId: string,
  done: (info: EgressInfo) => boolean,
): Promise<EgressInfo> {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const info = await api.getEgress(egressId);
    if (info && done(info)) return info;
    if (Date.now() > deadline)
      throw new Error(`egress ${egressId} did not get on: ${info ? EgressStatus[info.status] : 'gone'}`);
    await sleep(100);
  }
}

/** One line that fills up on a terminal, a line every five seconds elsewhere. */
async function showProgress(seconds: number): Promise<void> {
  const started = Date.now();
  const { isTTY } = process.stdout;
  let shown = -1;
  for (let over = false; !over;) {
    const done = (Date.now() - started) / 1000;
    over = done >= seconds;
    const step = isTTY ? Math.floor(done * 4) : Math.floor(done / 5);
    if (step !== shown || over) {
      shown = step;
      const bar = progressBar(done, seconds);
      process.stdout.write(isTTY ? `\r  ${bar}` : `  ${bar}\n`);
    }
    if (!over) await sleep(100);
  }
  if (isTTY) process.stdout.write('\n');
}
