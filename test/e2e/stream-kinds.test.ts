/**
 * One composed picture to an RTMP and to an SRT destination, each at its own quality, and a track's sound into a
 * WebSocket that loses its connection, while the track is muted for a while. By LiveKit's SDK as far as it goes.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StreamInfo_Status } from '@livekit/protocol';
import { EgressStatus } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { analyse } from '../../src/demo/content/analyse.ts';
import type { TestPublisher } from '../../src/demo/publisher.ts';
import { publish, trackIds } from '../support/callers.ts';
import { srtDestination } from '../support/destinations.ts';
import type { Destination } from '../support/destinations.ts';
import { descendants } from '../support/process-list.ts';
import { startNginxRtmp } from '../support/rtmp.ts';
import type { NginxRtmp } from '../support/rtmp.ts';
import { Sluice } from '../support/sluice.ts';
import { startWithOptions } from '../support/sluice-egress.ts';
import { until } from '../support/takeover.ts';

const ROOM = 'kinds';
const SECRET = 'k3y-4711';
const SIZE = { width: 640, height: 360 };
const SMALL = { width: 320, height: 180 };
/** s16le, 48 kHz, mono. */
const BYTES_PER_SECOND = 96_000;

/** A listener that keeps samples and texts of each connection. */
async function startListener() {
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  const connections: { socket: WebSocket; samples: Buffer[]; texts: string[] }[] = [];
  server.on('connection', (socket) => {
    const connection = { socket, samples: [] as Buffer[], texts: [] as string[] };
    connections.push(connection);
    socket.on('error', () => undefined);
    socket.on('message', (data: Buffer, binary) => {
      if (binary) connection.samples.push(data);
      else connection.texts.push(data.toString());
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    connections,
    url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}/audio?token=${SECRET}`,
    close: () => {
      for (const { socket } of connections) socket.terminate();
      http.close();
    },
  };
}

/** Loudest sample of each tenth of a second. */
function peaks(samples: Buffer): number[] {
  const step = BYTES_PER_SECOND / 10;
  return Array.from({ length: Math.floor(samples.length / step) }, (_, index) => {
    let peak = 0;
    for (let at = index * step; at < (index + 1) * step; at += 2)
      peak = Math.max(peak, Math.abs(samples.readInt16LE(at)));
    return peak;
  });
}

let sluice: Sluice;
let folder: string;
let alice: TestPublisher;
let nginx: NginxRtmp;
let srt: Destination;
let listener: Awaited<ReturnType<typeof startListener>>;
let room: EgressInfo;
let track: EgressInfo;
let commands: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-kinds-'));
  [sluice, nginx, srt, listener] = await Promise.all([
    Sluice.start(),
    startNginxRtmp(),
    srtDestination(folder),
    startListener(),
  ]);
  alice = await publish(sluice, ROOM, 'alice', { color: 'red' });
  const { audio } = await trackIds(sluice, ROOM, 'alice');
  const srtUrl = `${srt.url}?streamid=${SECRET}&latency=200`;
  const roomId = await startWithOptions(sluice, ROOM, {
    room_composite: {
      room_name: ROOM,
      advanced: { ...SIZE, framerate: 30, video_bitrate: 1200 },
      stream_outputs: [{ urls: [nginx.url(SECRET), srtUrl] }],
    },
    options: { streams: [{ url: srtUrl, height: SMALL.height, video_bitrate: 400 }] },
  });
  const { egressId: trackId } = await sluice.egress.startTrackEgress(ROOM, listener.url, audio!);

  const live = ({ streamResults }: EgressInfo, count: number) =>
    streamResults.length === count && streamResults.every(({ startedAt }) => startedAt > 0n);
  await sluice.waitForEgress(trackId, (info) => live(info, 1));
  await until('sound over the WebSocket', () => (listener.connections[0]?.samples.length ?? 0) > 100);
  await sluice.rooms.mutePublishedTrack(ROOM, 'alice', audio!, true);
  await until('a mute', () => listener.connections[0]!.texts.length === 1);
  listener.connections[0]!.socket.terminate();
  await until('another connection', () => (listener.connections[1]?.samples.length ?? 0) > 30);
  await sluice.rooms.mutePublishedTrack(ROOM, 'alice', audio!, false);
  await until('an unmute', () => listener.connections[1]!.texts.length === 2);
  await sluice.waitForEgress(roomId, (info) => live(info, 2));
  commands = (await descendants()).map(({ command }) => command);
  await sleep(4500);
  await Promise.all([sluice.egress.stopEgress(roomId), sluice.egress.stopEgress(trackId)]);
  const over = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;
  [room, track] = (await Promise.all([roomId, trackId].map((id) => sluice.waitForEgress(id, over)))) as [
    EgressInfo,
    EgressInfo,
  ];
  await srt.stop();
});

afterAll(async () => {
  await alice?.stop();
  await sluice?.stop();
  await nginx?.close();
  listener?.close();
  await srt?.stop();
  await rm(folder, { recursive: true, force: true });
});

it('sends each destination its own quality of one picture', async () => {
  expect(room.status, `${room.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
  expect(room.streamResults.map(({ status }) => status)).toEqual([
    StreamInfo_Status.FINISHED,
    StreamInfo_Status.FINISHED,
  ]);
  const [large] = await nginx.recordings(SECRET);
  for (const [file, size] of [
    [large!, SIZE],
    [srt.file, SMALL],
  ] as const) {
    const report = await analyse(file, {
      tiles: [{ name: 'alice', color: 'red', region: { x: 0, y: 0, ...size } }],
    });
    expect(report.video).toMatchObject(size);
    expect(report.duration).toBeGreaterThan(4);
    expect(report.tiles[0]!.share).toBeGreaterThan(0.9);
    expect(report.tiles[0]!.inOrder).toBe(true);
    // A beep that the mute cut in half is matched with nothing it belongs to.
    expect(Math.abs(report.tiles[0]!.avOffset.p50)).toBeLessThanOrEqual(80);
  }
});

it("sends a track's sound, says when it is muted, and comes back to a listener that was away", () => {
  expect(track.status, `${track.error}\n${sluice.tail()}`).toBe(EgressStatus.EGRESS_COMPLETE);
  expect(track.streamResults).toHaveLength(1);
  expect(track.streamResults[0]).toMatchObject({ status: StreamInfo_Status.FINISHED, retries: 1 });
  const [first, second] = listener.connections;
  expect(listener.connections).toHaveLength(2);
  expect(first!.texts).toEqual(['{"muted":true}']);
  expect(second!.texts).toEqual(['{"muted":true}', '{"muted":false}']);
  const heard = peaks(Buffer.concat(first!.samples));
  expect(Math.max(...heard)).toBeGreaterThan(300);
  const later = peaks(Buffer.concat(second!.samples));
  // Silence while it was muted, and its beeps again.
  expect(later.filter((peak) => peak < 50).length).toBeGreaterThan(3);
  expect(Math.max(...later.slice(-30))).toBeGreaterThan(300);
});

it('shows no key, passphrase or token', async () => {
  expect(JSON.stringify([room.toJson(), track.toJson()])).not.toContain(SECRET);
  expect(commands.filter((command) => command.startsWith('ffmpeg ')).length).toBeGreaterThan(1);
  expect(
    commands.filter((command) => command.includes(SECRET) && /^(ffmpeg|gjs|node)/.test(command)),
  ).toEqual([]);
  expect(sluice.processes.map(({ output }) => output).join('')).not.toContain(SECRET);
  const refused = sluice.egress.updateStream(track.egressId, ['wss://127.0.0.1/more']);
  await expect(refused).rejects.toThrow();
});
