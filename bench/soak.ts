/**
 * Hours of ordinary work, and whether anything grows: `npm run bench -- soak --minutes 120 --csv soak.csv`.
 *
 * Server, two workers and Redis; three publishers. An RTMP output runs all the time, a new one every ten minutes (its
 * segment log grows until it ends). Every minute a passthrough recording, a composite to file and HLS, and an RTMP ingress begin, and end 42 seconds later. Sampled in the middle
 * of that (busy) and after it (quiet), which is every 30 seconds; slopes are taken of each kind apart, and the steeper
 * one counts. What was recorded is removed as an operator would, so that what is left in data_dir is Sluice's own.
 *
 * Redis keeps an ended egress and ingress for a day: its bounds are a rate for each, not zero.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { EgressStatus, IngressInput } from '@livekit/protocol';
import { EncodedFileOutput, EncodingOptions, SegmentedFileOutput, StreamOutput } from 'livekit-server-sdk';
import { trackIds } from '../test/support/callers.ts';
import { makeClip } from '../test/support/content/clip.ts';
import {
  COPYABLE_ENCODING,
  ingressClient,
  isInactive,
  isPublishing,
  publishUrl,
  pushRtmp,
  waitForIngress,
} from '../test/support/ingress.ts';
import { startRedis } from '../test/support/redis.ts';
import { startRtmpReceiver } from '../test/support/rtmp-receiver.ts';
import { Sluice } from '../test/support/sluice.ts';
import { median, report, say } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { named } from './lib/processes.ts';
import { finish, publishAll, ROOM, COLORS, untilActive } from './lib/room.ts';
import { Sampler } from './lib/soak-samples.ts';
import type { Sample } from './lib/soak-samples.ts';
import { settled, slope } from './lib/trend.ts';

const CYCLE_MS = 60_000;
const BUSY_MS = 30_000;
const STOP_MS = 42_000;
const SMALL = { width: 320, height: 180, fps: 15 };

/** Most growth an hour; processes that grow by more run out of something within a week. */
const BOUNDS: Record<string, number> = {
  rss: 12,
  fds: 2,
  threads: 2,
  processes: 1,
  udp: 1,
  tcp: 1,
  MB: 2,
};
/** Most growth of Redis for each egress and ingress that has ended. */
const REDIS_BOUNDS: Record<string, number> = { 'redis used kB': 12, 'redis keys': 6, 'redis rss': 0.02 };

interface Row {
  hours: number;
  phase: 'quiet' | 'busy';
  sample: Sample;
}

interface Tally {
  ended: number;
  failures: string[];
}

export async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '120' },
      csv: { type: 'string', default: 'soak.csv' },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes >= 3 && minutes <= 10_000)) throw new Error(`--minutes ${values.minutes}: 3 to 10000`);
  await Owner.run(async (owner) => {
    const redis = owner.own(await startRedis(), (each) => each.stop());
    const [redisPid = 0] = named(process.pid, 'redis-server');
    const sluice = owner.own(
      await Sluice.start({
        ...{ mode: 'split', redisUrl: redis.url },
        env: { SLUICE_LOG_LEVEL: 'info', SLUICE_INGRESS_GRACE: '1' },
      }),
      (each) => each.stop(),
    );
    await sluice.addWorker();
    await sluice.addWorker();
    const sampler = owner.own(new Sampler(sluice, { url: redis.url, pid: redisPid }), (each) => each.close());
    await publishAll(owner, sluice, 3, SMALL);
    const cycle = await prepare(owner, sluice);
    const rows: Row[] = [];
    const tally: Tally = { ended: 0, failures: [] };
    const start = Date.now();
    const until = (ms: number) => sleep(Math.max(0, start + ms - Date.now()));
    const take = async (phase: Row['phase']) => {
      rows.push({ hours: (Date.now() - start) / 3_600_000, phase, sample: await sampler.sample() });
      await writeFile(values.csv, csv(rows));
    };
    for (let index = 0; index * CYCLE_MS < minutes * 60_000; index++) {
      const at = index * CYCLE_MS;
      // A minute whose end came late is followed by the next whole one.
      if (Date.now() - start > at + 5000) continue;
      await until(at);
      await take('quiet');
      const running = await cycle(index, tally);
      await until(at + BUSY_MS);
      await take('busy');
      await until(at + STOP_MS);
      await running.stop();
      if (index % 10 === 9)
        say(`${index + 1} minutes: ${tally.ended} ended, ${tally.failures.length} failed`);
    }
    await until(Math.ceil((Date.now() - start + 5000) / 1000) * 1000);
    await take('quiet');
    print(rows, tally);
    if (sluice.processes.some(({ running }) => !running)) throw new Error('a process of Sluice has ended');
  });
}

/** What does not end, and what begins and ends each minute. */
async function prepare(owner: Owner, sluice: Sluice) {
  const folder = owner.own(await mkdtemp(join(tmpdir(), 'sluice-bench-')), (path) =>
    rm(path, { recursive: true, force: true }),
  );
  const clip = join(folder, 'clip.flv');
  await makeClip(clip, { seconds: 60, ...SMALL, color: 'yellow', encode: COPYABLE_ENCODING });
  const receiver = owner.own(await startRtmpReceiver({ keep: false }), (each) => each.close());
  const { audio, video } = await trackIds(sluice, ROOM, COLORS[0]!);
  if (audio === undefined || video === undefined) throw new Error('the publisher has no tracks');
  const tracks = { audioTrackId: audio, videoTrackId: video };
  const stream = async () => {
    const { egressId } = await sluice.egress.startTrackCompositeEgress(
      ROOM,
      { stream: new StreamOutput({ urls: [receiver.url('soak')] }) },
      tracks,
    );
    await untilActive(sluice, egressId);
    return egressId;
  };
  let streaming = await stream();
  const client = ingressClient(sluice);

  return async (index: number, tally: Tally) => {
    const failed = (what: string) => (error: unknown) => {
      tally.failures.push(`minute ${index}: ${what}: ${String(error).slice(0, 300)}`);
      say(tally.failures.at(-1)!);
    };
    const name = `soak/${index}`;
    const copy = await sluice.egress.startTrackCompositeEgress(
      ROOM,
      { file: new EncodedFileOutput({ filepath: `${name}/copy` }) },
      tracks,
    );
    const composite = await sluice.egress.startRoomCompositeEgress(
      ROOM,
      {
        file: new EncodedFileOutput({ filepath: `${name}/room` }),
        segments: new SegmentedFileOutput({ filenamePrefix: `${name}/hls`, segmentDuration: 2 }),
      },
      {
        layout: 'grid',
        encodingOptions: new EncodingOptions({ width: 320, height: 180, framerate: 15, videoBitrate: 300 }),
      },
    );
    const info = await client.createIngress(IngressInput.RTMP_INPUT, {
      ...{ name, roomName: ROOM, participantIdentity: 'encoder', enableTranscoding: false },
    });
    const sender = owner.own(pushRtmp(publishUrl(info), clip), (each) => each.kill());
    await waitForIngress(sluice, info.ingressId, isPublishing, 15_000).catch(failed('RTMP ingress'));
    const removeRecordings = () =>
      rm(join(sluice.dataDir, 'recordings', name), { recursive: true, force: true });
    return {
      stop: async () => {
        await sender.kill();
        for (const { egressId } of [copy, composite]) {
          await finish(sluice, egressId).catch(failed('egress'));
          tally.ended++;
        }
        await waitForIngress(sluice, info.ingressId, isInactive).catch(failed('end of the ingress'));
        await client.deleteIngress(info.ingressId).catch(failed('DeleteIngress'));
        tally.ended++;
        const [output] = await sluice.egress.listEgress({ egressId: streaming });
        if (output?.status !== EgressStatus.EGRESS_ACTIVE)
          failed('RTMP output')(output?.error ?? 'not listed');
        else if (index % 10 === 9) await finish(sluice, streaming).catch(failed('RTMP output'));
        else return removeRecordings();
        streaming = await stream();
        tally.ended++;
        await removeRecordings();
      },
    };
  };
}

function csv(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0]?.sample ?? {});
  const lines = rows.map(({ hours, phase, sample }) =>
    [(hours * 3600).toFixed(0), phase, ...columns.map((column) => (sample[column] ?? 0).toFixed(2))].join(),
  );
  return [['seconds', 'phase', ...columns].join(), ...lines, ''].join('\n');
}

function print(rows: readonly Row[], tally: Tally): void {
  const hours = rows.at(-1)?.hours ?? 0;
  const table = [['what', 'first', 'median', 'last', 'growth an hour', 'bound', '']];
  let missed = 0;
  for (const column of Object.keys(rows[0]?.sample ?? {})) {
    const of = (phase: Row['phase']) =>
      settled(
        rows
          .filter((row) => row.phase === phase)
          .map((row) => ({ hours: row.hours, value: row.sample[column]! })),
      );
    const quiet = of('quiet');
    const [growth] = [quiet, of('busy')].map(slope).sort((a, b) => Math.abs(b) - Math.abs(a));
    const redis = REDIS_BOUNDS[column];
    const bound =
      redis === undefined ? BOUNDS[column.split(' ').at(-1)!] : (redis * tally.ended) / Math.max(hours, 1e-9);
    if (bound === undefined) throw new Error(`no bound for ${column}`);
    const met = growth! <= bound;
    if (!met) missed++;
    const text = (value: number | undefined) => (value ?? NaN).toFixed(value! % 1 ? 1 : 0);
    table.push([
      ...[
        column,
        text(quiet[0]?.value),
        text(median(quiet.map(({ value }) => value))),
        text(quiet.at(-1)?.value),
      ],
      ...[growth!.toFixed(2), `≤ ${bound.toFixed(1)}`, met ? 'flat' : 'GROWS'],
    ]);
  }
  report(`Soak of ${(hours * 60).toFixed(0)} minutes, ${rows.length} samples (values: quiet ones)`, table);
  say(`\n${tally.ended} egresses and ingresses ended, ${tally.failures.length} not in order`);
  for (const failure of tally.failures) say(`  ${failure}`);
  say(missed === 0 && tally.failures.length === 0 ? 'verdict: flat' : `verdict: NOT flat (${missed} grow)`);
  if (missed > 0 || tally.failures.length > 0) process.exitCode = 1;
}
