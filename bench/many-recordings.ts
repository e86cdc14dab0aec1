/**
 * Many passthrough recordings at once: `npm run bench -- many-recordings --count 100 --seconds 60`.
 *
 * A few people publish; each recording copies one of them into an MP4. Every file is read back: the counter in each of
 * its pictures says which frames are missing between its first and its last. Those that another recording of the same
 * publisher has were lost by this one; those that are in no file are counted apart, for most of them a publisher on a
 * machine that is too busy never sent.
 */
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncodedFileOutput } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { analyse } from '../src/demo/content/analyse.ts';
import { trackIds } from '../test/support/callers.ts';
import { median, percentile, report, say, verdict } from './lib/numbers.ts';
import { Owner } from './lib/owner.ts';
import { between, PARTS, read } from './lib/parts.ts';
import { memory, named } from './lib/processes.ts';
import { COLORS, finish, publishAll, ROOM, startParts, untilActive } from './lib/room.ts';
import type { Parts } from './lib/room.ts';

/** Recordings that start, or are finished, at once. */
const STARTING = 8;
const PUBLISHERS = 3;
const IDLE_MS = 5000;
/** Of what is recorded, left out at both ends of what is called steady. */
const EDGE_MS = 2000;
/** Kbit/s; small, for it is the number of recordings that is looked at. */
const PICTURE = { width: 640, height: 360, videoBitrate: 600 };
/** Frames. */
const MOST_LOST = 0;

interface Recording {
  publisher: number;
  egressId: string;
  /** Seconds from the request to EgressInfo's startedAt. */
  toActive: number;
}

/** Counters of one file. */
interface Content {
  publisher: number;
  first: number;
  last: number;
  counters: Set<number>;
  unreadable: number;
}

export async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      count: { type: 'string', default: '100' },
      seconds: { type: 'string', default: '60' },
    },
  });
  const [count, seconds] = [Number(values.count), Number(values.seconds)];
  if (!(Number.isInteger(count) && count >= 1 && count <= 1000)) {
    throw new Error(`--count ${values.count}: 1 to 1000`);
  }
  if (!(seconds >= 10 && seconds <= 3600)) throw new Error(`--seconds ${values.seconds}: 10 to 3600`);
  await Owner.run((owner) => measure(owner, count, seconds));
}

async function measure(owner: Owner, count: number, seconds: number): Promise<void> {
  // How many it can carry is the question, not when it lets the next one wait.
  const parts = await startParts(owner, {
    SLUICE_WORKER_CPU_LIMIT: '100',
    SLUICE_WORKER_MAX_JOBS: String(count),
  });
  const { sluice } = parts;
  await publishAll(owner, sluice, PUBLISHERS, PICTURE);
  const people = await Promise.all(COLORS.slice(0, PUBLISHERS).map((color) => trackIds(sluice, ROOM, color)));
  await sleep(IDLE_MS);
  const idle0 = read(parts);
  await sleep(IDLE_MS);
  const idle = between(idle0, read(parts));

  // A few at a time: a hundred programs that start at the same moment keep each other from it.
  const recordings = await inTurn(
    Array.from({ length: count }, (_, index) => async (): Promise<Recording> => {
      const publisher = index % PUBLISHERS;
      const { audio: audioTrackId, video: videoTrackId } = people[publisher] ?? {};
      if (audioTrackId === undefined || videoTrackId === undefined) {
        throw new Error(`${COLORS[publisher]} has no tracks`);
      }
      const sentMs = Date.now();
      const { egressId } = await sluice.egress.startTrackCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath: `bench/${index}` }) },
        { audioTrackId, videoTrackId },
      );
      const { startedAt } = await untilActive(sluice, egressId);
      return { publisher, egressId, toActive: Number(startedAt) / 1e9 - sentMs / 1000 };
    }),
  );
  await sleep(EDGE_MS);
  const steady0 = read(parts);
  await sleep(seconds * 1000 - 2 * EDGE_MS);
  const steady = between(steady0, read(parts));
  const held = memoryOf(parts);
  await sleep(EDGE_MS);
  const stop0 = read(parts);
  const infos = await inTurn(
    recordings.map(
      ({ egressId }) =>
        () =>
          finish(sluice, egressId),
    ),
  );
  const stop = between(stop0, read(parts));

  const share = (part: (typeof PARTS)[number]) =>
    steady.cpu[part] / steady.seconds - idle.cpu[part] / idle.seconds;
  report(`${count} passthrough recordings at once of ${PUBLISHERS} publishers, ${seconds} s`, [
    ['part', 'cores beyond idle', 'thousandths of a core a recording', 'PSS, MB', 'processes'],
    ...PARTS.map((part) => [
      part === 'pipeline' ? 'gjs' : part,
      share(part).toFixed(2),
      ((share(part) / count) * 1000).toFixed(1),
      held[part].pss.toFixed(0),
      String(held[part].processes),
    ]),
  ]);
  say(
    `FFmpeg, and what else had ended: ${stop.cpu.ended.toFixed(1)} CPU seconds while the files were finished, ` +
      `in ${stop.seconds.toFixed(1)} s; ${steady.cpu.ended.toFixed(1)} while recording`,
  );
  const times = recordings.map(({ toActive }) => toActive);
  report(`StartEgress to ACTIVE, ${STARTING} asked for at once, s`, [
    ['p50', 'p95', 'longest'],
    [median(times), percentile(times, 0.95), Math.max(...times)].map((each) => each.toFixed(2)),
  ]);
  reportLost(await contents(recordings, infos));
}

/** Does all of it, {@link STARTING} at a time; the results in order. */
async function inTurn<T>(work: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results = new Map<number, T>();
  const waiting = [...work.entries()];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) results.set(next[0], await next[1]());
  };
  await Promise.all(Array.from({ length: STARTING }, worker));
  return work.map((_, index) => results.get(index)!);
}

/** Memory by part, and how many processes that is. */
function memoryOf({ serverPid, workerPid, redisPid }: Parts) {
  const of = (pids: number[]) => ({ ...memory(pids), processes: pids.length });
  return {
    pipeline: of(named(workerPid, 'gjs')),
    'worker (Node)': of([workerPid]),
    'server (Node)': of([serverPid]),
    mediasoup: of(named(serverPid, 'mediasoup')),
    Redis: of([redisPid]),
  };
}

/** Reads every file, one after the other. */
async function contents(recordings: readonly Recording[], infos: readonly EgressInfo[]): Promise<Content[]> {
  const all: Content[] = [];
  for (const [index, { publisher }] of recordings.entries()) {
    const location = infos[index]?.fileResults[0]?.location;
    const color = COLORS[publisher];
    if (location === undefined || color === undefined) throw new Error(`recording ${index} has no file`);
    const { tiles } = await analyse(location, { tiles: [{ name: color, color }] });
    const { frames = [], unreadable = 0 } = tiles[0] ?? {};
    const counters = new Set(frames.flatMap(({ counter }) => counter ?? []));
    if (counters.size === 0) throw new Error(`${location} shows nobody`);
    all.push({
      ...{ publisher, unreadable, counters },
      first: Math.min(...counters),
      last: Math.max(...counters),
    });
  }
  return all;
}

function reportLost(files: readonly Content[]): void {
  /** Of each publisher: whatever came into at least one file. */
  const sent = Array.from(
    { length: PUBLISHERS },
    (_, publisher) =>
      new Set(files.filter((each) => each.publisher === publisher).flatMap(({ counters }) => [...counters])),
  );
  const sums = { frames: 0, lost: 0, nowhere: 0, incomplete: 0, unreadable: 0 };
  for (const { publisher, first, last, counters, unreadable } of files) {
    let [lost, nowhere] = [0, 0];
    for (let counter = first; counter <= last; counter++) {
      if (counters.has(counter)) continue;
      if (sent[publisher]?.has(counter)) lost++;
      else nowhere++;
    }
    sums.frames += counters.size;
    sums.lost += lost;
    sums.nowhere += nowhere;
    sums.unreadable += unreadable;
    if (lost > 0) sums.incomplete++;
  }
  report(`Frames of ${files.length} files`, [
    ['read', 'lost', 'files with losses', 'in no file of the publisher', 'unreadable', 'may be lost', ''],
    [
      ...[sums.frames, sums.lost, sums.incomplete, sums.nowhere, sums.unreadable, MOST_LOST].map(String),
      verdict(sums.lost, MOST_LOST),
    ],
  ]);
}
