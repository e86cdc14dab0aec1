/** Reads the samples of a chunk of MPEG-TS while it grows. Pure; how its bytes are cut up makes no difference. */
import {
  nsToTicks,
  readPacket,
  readPat,
  readPesHeader,
  readPmt,
  TS_PACKET,
  unwrap,
} from '../../../log/ts-packets.ts';
import type { StreamKind } from '../../../log/ts-packets.ts';
import { readAdtsFrames, splitNals, toLengthPrefixed, videoConfig } from '../../../../media/fmp4/config.ts';
import type { AudioConfig, VideoConfig } from '../../../../media/fmp4/config.ts';

/** Of 90 kHz, unwrapped. */
export type Ticks = number;

export interface Picture {
  kind: 'video';
  dts: Ticks;
  pts: Ticks;
  data: Buffer;
  key: boolean;
  /** Of a keyframe that brings its parameter sets. */
  config: VideoConfig | undefined;
}

/** The AAC frames of one PES packet: 1024 samples each. */
export interface Sound {
  kind: 'audio';
  dts: Ticks;
  frames: Uint8Array[];
  config: AudioConfig;
}

export type Unit = Picture | Sound;

interface OpenPes {
  kind: StreamKind;
  /** Offset in the chunk's file of the packet it begins in. */
  from: number;
  randomAccess: boolean;
  parts: Uint8Array[];
  /** Bytes of the PES packet that were declared (0: until the next one) and seen. */
  declared: number;
  seen: number;
  complete: boolean;
}

export class ChunkDemuxer {
  /** What the tables list; undefined before they were read. */
  streams: ReadonlySet<StreamKind> | undefined;
  #rest = Buffer.alloc(0);
  #at = 0;
  #pmtPid: number | undefined;
  #pids = new Map<number, StreamKind>();
  /** Begun and not given out, in the order in which they begin. */
  #queue: OpenPes[] = [];
  readonly #open = new Map<number, OpenPes>();
  #near: Ticks;

  /** @param nearNs egress clock the chunk is near to, ns. */
  constructor(nearNs: number) {
    this.#near = nsToTicks(nearNs);
  }

  /** Takes the file's next bytes. @returns the units that are complete, in the order in which they begin */
  push(data: Buffer): Unit[] {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data;
    let at = 0;
    for (; at + TS_PACKET <= bytes.length; at += TS_PACKET) this.#packet(bytes, at, this.#at + at);
    this.#rest = Buffer.from(bytes.subarray(at));
    this.#at += at;
    return this.#take();
  }

  /** The chunk is closed, and its first `bytes` bytes count. @returns the last units */
  end(bytes: number): Unit[] {
    this.#queue = this.#queue.filter(({ from }) => from < bytes);
    // An unbounded packet ends where the next one begins, or with the file.
    for (const pes of this.#queue) pes.complete ||= pes.declared === 0;
    return this.#take();
  }

  #packet(bytes: Buffer, at: number, offset: number): void {
    const packet = readPacket(bytes, at);
    if (!packet?.hasPayload || packet.payload >= TS_PACKET) return;
    if (packet.pid === 0) {
      this.#pmtPid ??= readPat(bytes, at, packet);
    } else if (packet.pid === this.#pmtPid) {
      const pids = this.streams === undefined ? readPmt(bytes, at, packet) : undefined;
      if (!pids) return;
      this.#pids = pids;
      this.streams = new Set(pids.values());
    } else if (packet.start) {
      this.#begin(bytes, at, offset);
    } else {
      const open = this.#open.get(packet.pid);
      if (open) extend(open, bytes.subarray(at + packet.payload, at + TS_PACKET));
    }
  }

  #begin(bytes: Buffer, at: number, offset: number): void {
    const packet = readPacket(bytes, at);
    if (!packet) return;
    const before = this.#open.get(packet.pid);
    if (before) before.complete ||= before.declared === 0;
    // Sound may come before the tables: those of our muxer are known.
    const payload = bytes.subarray(at + packet.payload, at + TS_PACKET);
    const kind = this.#pids.get(packet.pid) ?? (this.streams === undefined ? kindOf(payload) : undefined);
    if (!kind) return;
    const declared = readPesHeader(payload, 0, payload.length)?.length ?? 0;
    const open: OpenPes = {
      ...{ kind, from: offset, randomAccess: packet.randomAccess, parts: [], declared, seen: 0 },
      complete: false,
    };
    extend(open, payload);
    this.#open.set(packet.pid, open);
    this.#queue.push(open);
  }

  /** In order: what is complete waits for what began before it. */
  #take(): Unit[] {
    const units: Unit[] = [];
    for (let next = this.#queue[0]; next?.complete; next = this.#queue[0]) {
      this.#queue.shift();
      const unit = this.#read(next);
      if (unit) units.push(unit);
    }
    return units;
  }

  #read(pes: OpenPes): Unit | undefined {
    const bytes = Buffer.concat(pes.parts);
    const header = readPesHeader(bytes, 0, bytes.length);
    if (header?.pts === undefined) return undefined;
    const pts = unwrap(header.pts, this.#near);
    const dts = unwrap(header.dts ?? header.pts, this.#near);
    this.#near = dts;
    const payload = bytes.subarray(header.header, header.length > 0 ? header.length : undefined);
    if (pes.kind === 'aac') {
      const { frames, config } = readAdtsFrames(payload);
      return config && { kind: 'audio', dts: pts, frames, config };
    }
    const nals = splitNals(payload);
    const data = toLengthPrefixed(nals);
    if (data.length === 0) return undefined;
    const key = pes.randomAccess;
    return { kind: 'video', dts, pts, data, key, config: key ? videoConfig(nals) : undefined };
  }
}

/** By its stream id (ISO/IEC 13818-1, table 2-22). */
function kindOf(payload: Uint8Array): StreamKind | undefined {
  const id = payload[3] ?? 0;
  if (id >= 0xe0 && id <= 0xef) return 'h264';
  return id >= 0xc0 && id <= 0xdf ? 'aac' : undefined;
}

function extend(pes: OpenPes, part: Uint8Array): void {
  pes.parts.push(part);
  pes.seen += part.length;
  if (pes.declared > 0 && pes.seen >= pes.declared) pes.complete = true;
}
