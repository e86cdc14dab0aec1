/** Cuts the live tap into units that may be left out without harming each other: one PES packet each. */
import { h264Info } from '../../log/h264.ts';
import { readPacket, readPat, readPesHeader, readPmt, TS_PACKET } from '../../log/ts-packets.ts';
import type { StreamKind } from '../../log/ts-packets.ts';

export interface TapUnit {
  /** Whole packets: a picture or a few frames of sound, and what stood in front of it. */
  bytes: Buffer;
  /** Set where a receiver can begin: the tables it needs first. */
  start?: {
    tables: Buffer;
    /** Of the picture's parameter sets; undefined for sound alone. */
    parametersHash: string | undefined;
  };
  /** performance.now() when it came, ms. */
  arrivedMs: number;
}

interface OpenUnit {
  pid: number;
  kind: StreamKind;
  randomAccess: boolean;
  packets: Buffer[];
  /** PES bytes declared (0: unknown) and seen. */
  declared: number;
  seen: number;
}

/** Bytes of a keyframe that are looked through for parameter sets. */
const HEAD_BYTES = 4096;

export class TapUnits {
  readonly #onUnit: (unit: TapUnit) => void;
  #rest = Buffer.alloc(0);
  #pat: Buffer | undefined;
  #pmt: Buffer | undefined;
  #pmtPid: number | undefined;
  #streams = new Map<number, StreamKind>();
  /** Tables and the like that came since the last unit. */
  #before: Buffer[] = [];
  #open: OpenUnit | undefined;

  constructor(onUnit: (unit: TapUnit) => void) {
    this.#onUnit = onUnit;
  }

  /** Takes the tap's next bytes, cut anywhere. */
  push(data: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data;
    let at = 0;
    while (at + TS_PACKET <= bytes.length) {
      const packet = readPacket(bytes, at);
      if (!packet) {
        // Lost sync: look for the next packet's start.
        const next = bytes.indexOf(0x47, at + 1);
        at = next < 0 ? bytes.length : next;
        continue;
      }
      this.#packet(bytes.subarray(at, at + TS_PACKET));
      at += TS_PACKET;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
  }

  #packet(bytes: Buffer): void {
    const packet = readPacket(bytes, 0);
    if (!packet) return;
    if (packet.pid === 0 || packet.pid === this.#pmtPid) {
      if (packet.pid === 0) {
        this.#pmtPid = readPat(bytes, 0, packet) ?? this.#pmtPid;
        this.#pat = bytes;
      } else {
        this.#streams = readPmt(bytes, 0, packet) ?? this.#streams;
        this.#pmt = bytes;
      }
      (this.#open?.packets ?? this.#before).push(bytes);
      return;
    }
    const kind = this.#streams.get(packet.pid);
    if (packet.start && kind) {
      this.#close();
      const header = readPesHeader(bytes, packet.payload, TS_PACKET);
      this.#open = {
        pid: packet.pid,
        kind,
        randomAccess: packet.randomAccess,
        packets: [...this.#before, bytes],
        declared: header?.length ?? 0,
        seen: TS_PACKET - packet.payload,
      };
      this.#before = [];
    } else if (this.#open) {
      this.#open.packets.push(bytes);
      if (packet.pid === this.#open.pid) this.#open.seen += TS_PACKET - packet.payload;
    }
    // Known to be complete: nobody waits for the next picture to get this one.
    if (this.#open && this.#open.declared > 0 && this.#open.seen >= this.#open.declared) this.#close();
  }

  #close(): void {
    const open = this.#open;
    if (!open) return;
    this.#open = undefined;
    const unit: TapUnit = { bytes: Buffer.concat(open.packets), arrivedMs: performance.now() };
    const soundAlone = ![...this.#streams.values()].includes('h264');
    const starts = open.kind === 'h264' ? open.randomAccess : soundAlone;
    if (starts && this.#pat && this.#pmt) {
      const parametersHash = open.kind === 'h264' ? hashOf(open) : undefined;
      unit.start = { tables: Buffer.concat([this.#pat, this.#pmt]), parametersHash };
    }
    this.#onUnit(unit);
  }
}

function hashOf(unit: OpenUnit): string | undefined {
  const head: Buffer[] = [];
  let length = 0;
  for (const bytes of unit.packets) {
    const packet = readPacket(bytes, 0);
    if (packet?.pid !== unit.pid) continue;
    const skip = packet.start ? (readPesHeader(bytes, packet.payload, TS_PACKET)?.header ?? 0) : 0;
    const part = bytes.subarray(packet.payload + skip);
    head.push(part);
    length += part.length;
    if (length >= HEAD_BYTES) break;
  }
  return h264Info(Buffer.concat(head))?.parametersHash;
}
