/** Reads recordings back, and puts what they show and sound on the recording's own clock. */
import { join } from 'node:path';
import { stat } from 'node:fs/promises';
import type { EgressInfo } from 'livekit-server-sdk';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ColorName, TileSpec } from '../../src/demo/content/types.ts';
import { gridRegion } from '../support/callers.ts';
import { gapsIn } from '../support/takeover.ts';
import type { Observed, Stretch } from './account.ts';
import { backwards, byCounter, complement, fresh, jumpsBack, loud, misplaced } from './frames.ts';
import { CANVAS } from './recordings.ts';
import type { RecordingName } from './recordings.ts';
import { PICTURE, PUBLISHERS, STREAM_KEY } from './rig.ts';
import type { PublisherName, Rig } from './rig.ts';

export interface Reading {
  recording: RecordingName;
  /** Whom it is of. */
  person: string;
  /** Wall clock, ms, of the recording's 0. */
  startedMs: number;
  observed: Observed;
  /** What is wrong with it as a file. */
  wrong: string[];
}

const { fps } = PICTURE;
/** Left out at the ends, seconds: what an encoder, a segment or a connection has not finished. */
const EDGE = { start: 1.5, end: 1.5 };
/** Flash and beep, ms: 95th percentile, of ingresses the median. */
const LIP_SYNC_MS = 150;

const name = (recording: RecordingName, who: string) => (recording === who ? who : `${recording}: ${who}`);

/** Everything that was recorded. */
export async function observeAll(
  rig: Rig,
  infos: ReadonlyMap<RecordingName, EgressInfo>,
): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (const [recording, info] of infos) {
    if (recording === 'stream') readings.push(await observeStream(rig, info));
    else readings.push(...(await observeFile(rig, recording, info)));
    if (recording === 'room') readings.push(await observeBroadcast(rig, info));
  }
  return readings;
}

const WHO: Record<Exclude<RecordingName, 'stream'>, readonly (PublisherName | 'encoder' | 'film')[]> = {
  copy: ['alice'],
  room: ['alice', 'carol'],
  track: ['carol'],
  guest: ['guest'],
  encoder: ['encoder'],
  film: ['film'],
};

const isPublisher = (who: string): who is PublisherName => who in PUBLISHERS;
const colorOf = (who: string): ColorName =>
  isPublisher(who) ? PUBLISHERS[who].color : who === 'encoder' ? 'yellow' : 'green';
const tileOf = (who: string, region?: TileSpec['region']): TileSpec => ({
  ...{ name: who, color: colorOf(who), fps },
  ...(region && { region }),
});
const ms = (ns: bigint) => Number(ns) / 1e6;

async function observeFile(
  rig: Rig,
  recording: Exclude<RecordingName, 'stream'>,
  info: EgressInfo,
): Promise<Reading[]> {
  const [file] = info.fileResults;
  const startedMs = ms(file?.startedAt ?? info.startedAt);
  const length = (ms(info.endedAt) - startedMs) / 1000;
  const people = WHO[recording];
  const tiles = people.map((who, index) =>
    tileOf(who, people.length > 1 ? gridRegion(index, people.length, CANVAS) : undefined),
  );
  if (!file?.location) throw new Error(`${recording} has no file: ${info.toJsonString()}`);
  const report = await analyse(file.location, { tiles });
  const wrong = [...report.decodeErrors.slice(0, 3)];
  if (Math.abs(report.duration - length) > 1)
    wrong.push(`the file is ${report.duration.toFixed(1)} s long, the egress was ${length.toFixed(1)} s`);
  return report.tiles.map((tile, index): Reading => {
    const who = people[index]!;
    const lives = isPublisher(who) ? (rig.lives.get(who) ?? []) : undefined;
    const strange = lives ? misplaced(tile, lives, startedMs) : [];
    const { p50, p95, count } = tile.avOffset;
    // Each run of an ingress begins by arrival, until Sender Reports have come: its worst seconds are those.
    const apart = lives ? p95 : Math.abs(p50);
    const late = report.audio && count > 5 && apart > LIP_SYNC_MS;
    return {
      recording,
      person: who,
      startedMs,
      observed: {
        name: name(recording, who),
        span: { from: EDGE.start, to: length - EDGE.end },
        fps,
        pictures: fresh(tile).map(({ time }) => time),
        silences: report.audio ? (tile.soundGaps ?? [{ from: 0, to: length }]) : undefined,
        doubled: lives ? backwards(tile, lives, startedMs) : jumpsBack(tile),
        replayed: !lives,
        gaps: gapsIn(info.details),
      },
      wrong: [
        ...(index === 0 ? wrong : []),
        ...strange,
        ...(late ? [`flash and beep are ${apart.toFixed(0)} ms apart`] : []),
      ],
    };
  });
}

/** What the RTMP destination has: a file for each connection, in the publisher's time. */
async function observeStream(rig: Rig, info: EgressInfo): Promise<Reading> {
  const startedMs = ms(info.startedAt);
  const [life] = rig.lives.get('alice') ?? [];
  if (!life) throw new Error('alice has not published');
  const pictures: number[] = [];
  const heard: Stretch[] = [];
  const doubled: number[] = [];
  for (const path of await rig.nginx.recordings(STREAM_KEY)) {
    // A connection that was cut at its start has nothing to read.
    if ((await stat(path)).size < 20_000) continue;
    const { tiles, audio, video } = await analyse(path, { tiles: [tileOf('alice')] });
    const [tile] = tiles;
    if (!tile || tile.read === 0) continue;
    const { shown, shift } = byCounter(tile, life, startedMs);
    pictures.push(...shown);
    doubled.push(...backwards(tile, [life], startedMs - shift * 1000));
    if (audio && video) heard.push(...loud(tile, audio.firstTime, audio.lastTime, shift));
  }
  return {
    recording: 'stream',
    person: 'alice',
    startedMs,
    observed: {
      name: name('stream', 'alice'),
      span: { from: EDGE.start + 1, to: (ms(info.endedAt) - startedMs) / 1000 - EDGE.end },
      fps,
      pictures,
      silences: complement(heard, (ms(info.endedAt) - startedMs) / 1000),
      doubled,
      gaps: [],
    },
    wrong: [],
  };
}

/** The HLS broadcast, which leaves gaps out: by counters, so only what is seen. */
async function observeBroadcast(rig: Rig, info: EgressInfo): Promise<Reading> {
  const startedMs = ms(info.startedAt);
  const [life] = rig.lives.get('alice') ?? [];
  if (!life) throw new Error('alice has not published');
  const playlist = join(rig.sluice.dataDir, 'recordings', 'hls', 'room.m3u8');
  const { tiles, decodeErrors } = await analyse(playlist, {
    tiles: [tileOf('alice', gridRegion(0, 2, CANVAS))],
  });
  const [tile] = tiles;
  return {
    recording: 'room',
    person: 'alice',
    startedMs,
    observed: {
      name: 'room: HLS',
      span: { from: EDGE.start, to: (ms(info.endedAt) - startedMs) / 1000 - EDGE.end },
      fps,
      pictures: tile ? byCounter(tile, life, startedMs).shown : [],
      silences: undefined,
      doubled: tile ? jumpsBack(tile, Infinity) : [],
      gaps: gapsIn(info.details),
    },
    wrong: decodeErrors.slice(0, 3),
  };
}
