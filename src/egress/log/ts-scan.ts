/** Walks a chunk's packets and lists its PES packets; what they mean is ts-inspect.ts's part. */
import { InspectError } from './inspection.ts';
import { readPacket, readPat, readPesHeader, readPmt, TS_PACKET } from './ts-packets.ts';
import type { StreamKind } from './ts-packets.ts';

export interface PesRecord {
  kind: StreamKind;
  /** Offset of the packet the PES packet starts in, and of the end of its last packet. */
  from: number;
  to: number;
  complete: boolean;
  randomAccess: boolean;
  /** 33-bit ticks. */
  pts: number | undefined;
  dts: number | undefined;
  /** Elementary stream bytes: all of an audio PES packet, the head of a random access picture. */
  payload: Uint8Array;
}

export interface TsScan {
  pes: PesRecord[];
  /** Offsets of the first PAT and the first PMT packet. */
  tables: { pat: number; pmt: number };
  damaged: number;
  /** End of the last intact packet. */
  packetsEnd: number;
}

/** Bytes of a keyframe that are looked through for parameter sets. */
const HEAD_BYTES = 4096;

interface OpenPes {
  record: PesRecord;
  /** Bytes the header declared (0: unbounded) and bytes seen. */
  declared: number;
  seen: number;
  parts: Uint8Array[];
  kept: number;
}

/**
 * @param closed see InspectOptions
 * @throws InspectError when the bytes do not begin with an intact packet or have no PAT and PMT
 */
export function scanTs(data: Uint8Array, closed: boolean): TsScan {
  if (!readPacket(data, 0)) throw new InspectError('not an MPEG-TS chunk: no intact packet at its start');
  const { streams, pat, pmt, pmtPid } = findTables(data);
  const open = new Map<number, OpenPes>();
  const lastContinuity = new Map<number, number>();
  const pes: PesRecord[] = [];
  let damaged = 0;
  let packetsEnd = 0;

  let at = 0;
  for (; at + TS_PACKET <= data.length; at += TS_PACKET) {
    const packet = readPacket(data, at);
    if (!packet) {
      damaged++;
      continue;
    }
    packetsEnd = at + TS_PACKET;
    if (!packet.hasPayload || packet.payload >= TS_PACKET || packet.pid === pmtPid) continue;
    const kind = streams.get(packet.pid);
    if (!kind) continue;
    const last = lastContinuity.get(packet.pid);
    lastContinuity.set(packet.pid, packet.continuity);
    if (last !== undefined && !packet.discontinuity && packet.continuity !== ((last + 1) & 0x0f)) damaged++;

    if (packet.start) {
      const before = open.get(packet.pid);
      if (before) close(before, before.declared === 0 || before.seen >= before.declared);
      open.set(packet.pid, begin(data, at, packet.payload, kind, packet.randomAccess));
    } else {
      const current = open.get(packet.pid);
      if (current) extend(current, data, at + packet.payload, at + TS_PACKET);
    }
  }
  for (const last of open.values()) {
    // An unbounded packet ends where the next one starts; at the end of a file only its writer knows.
    close(last, last.declared === 0 ? closed : last.seen >= last.declared);
  }
  pes.sort((a, b) => a.from - b.from);
  return { pes, tables: { pat, pmt }, damaged, packetsEnd };

  function close(current: OpenPes, complete: boolean): void {
    current.record.complete = complete;
    current.record.payload = Buffer.concat(current.parts);
    pes.push(current.record);
  }
}

/** The muxer writes its tables in front of the first keyframe, but sound may have come before even that. */
function findTables(data: Uint8Array): {
  streams: Map<number, StreamKind>;
  pat: number;
  pmt: number;
  pmtPid: number;
} {
  let pat = -1;
  let pmtPid: number | undefined;
  for (let at = 0; at + TS_PACKET <= data.length; at += TS_PACKET) {
    const packet = readPacket(data, at);
    if (!packet?.start || packet.payload >= TS_PACKET) continue;
    if (packet.pid === 0 && pmtPid === undefined) {
      pmtPid = readPat(data, at, packet);
      pat = at;
    } else if (packet.pid === pmtPid) {
      const streams = readPmt(data, at, packet);
      if (streams) return { streams, pat, pmt: at, pmtPid };
    }
  }
  throw new InspectError('not an MPEG-TS chunk: no PAT and PMT in it');
}

function begin(
  data: Uint8Array,
  at: number,
  payload: number,
  kind: StreamKind,
  randomAccess: boolean,
): OpenPes {
  const end = at + TS_PACKET;
  const header = readPesHeader(data, at + payload, end);
  const current: OpenPes = {
    record: {
      kind,
      from: at,
      to: end,
      complete: false,
      randomAccess,
      pts: header?.pts,
      dts: header?.dts,
      payload: new Uint8Array(0),
    },
    declared: header?.length ?? 0,
    seen: end - at - payload,
    parts: [],
    kept: 0,
  };
  if (header) keep(current, data.subarray(at + payload + header.header, end));
  return current;
}

function extend(current: OpenPes, data: Uint8Array, from: number, to: number): void {
  current.record.to = to;
  current.seen += to - from;
  keep(current, data.subarray(from, to));
}

function keep(current: OpenPes, part: Uint8Array): void {
  const wanted = current.record.kind === 'aac' || current.record.randomAccess;
  if (!wanted || (current.record.kind === 'h264' && current.kept >= HEAD_BYTES)) return;
  current.parts.push(part);
  current.kept += part.length;
}
