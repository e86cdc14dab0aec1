/** Ogg pages of an Opus stream (RFC 3533, RFC 7845). */

const FIRST = 2;
const LAST = 4;
/** About a second of 20 ms packets a page. */
const PACKETS_A_PAGE = 50;
/** Segments a page's header has room for. */
const MAX_SEGMENTS = 255;

const CRC = new Uint32Array(256).map((_, i) => {
  let value = i << 24;
  for (let bit = 0; bit < 8; bit++) value = value & 0x80000000 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value >>> 0;
});

function checksum(page: Uint8Array): number {
  let crc = 0;
  for (const value of page) crc = ((crc << 8) ^ (CRC[((crc >>> 24) ^ value) & 0xff] ?? 0)) >>> 0;
  return crc;
}

/** An OpusHead for `channels` without pre-skip: the stream was cut out of a call, not started by an encoder. */
export function opusHead(channels: number): Buffer {
  const head = Buffer.alloc(19);
  head.write('OpusHead', 'latin1');
  head[8] = 1;
  head[9] = channels;
  head.writeUInt32LE(48_000, 12);
  return head;
}

function opusTags(): Buffer {
  const vendor = 'Sluice';
  const tags = Buffer.alloc(16 + vendor.length);
  tags.write('OpusTags', 'latin1');
  tags.writeUInt32LE(vendor.length, 8);
  tags.write(vendor, 12, 'latin1');
  return tags;
}

/** Collects packets into pages; every method answers the bytes that are ready to be written. */
export class OggOpusWriter {
  readonly #serial: number;
  #sequence = 0;
  #samples = 0;
  #pending: Uint8Array[] = [];
  #segments = 0;

  /** @param serial any 32-bit number */
  constructor(serial: number) {
    this.#serial = serial >>> 0;
  }

  /** Samples (48 kHz) written so far. */
  get samples(): number {
    return this.#samples;
  }

  /** @param head an OpusHead packet */
  begin(head: Uint8Array): Buffer {
    return Buffer.concat([this.#page(FIRST, 0n, [head]), this.#page(0, 0n, [opusTags()])]);
  }

  packet(data: Uint8Array, samples: number): Buffer | undefined {
    // The page before ends here; the last one is kept, for its flag says that it is the last.
    const segments = Math.floor(data.length / 255) + 1;
    const full = this.#pending.length >= PACKETS_A_PAGE || this.#segments + segments > MAX_SEGMENTS;
    const page = full ? this.#flush(0) : undefined;
    this.#pending.push(data);
    this.#segments += segments;
    this.#samples += samples;
    return page;
  }

  end(): Buffer {
    return this.#flush(LAST);
  }

  #flush(flags: number): Buffer {
    const packets = this.#pending;
    this.#pending = [];
    this.#segments = 0;
    return this.#page(flags, BigInt(this.#samples), packets);
  }

  #page(flags: number, granule: bigint, packets: readonly Uint8Array[]): Buffer {
    const lacing = packets.flatMap(({ length }) => [
      ...Array.from({ length: Math.floor(length / 255) }, () => 255),
      length % 255,
    ]);
    const header = Buffer.alloc(27 + lacing.length);
    header.write('OggS', 'latin1');
    header[5] = flags;
    header.writeBigInt64LE(granule, 6);
    header.writeUInt32LE(this.#serial, 14);
    header.writeUInt32LE(this.#sequence++, 18);
    header[26] = lacing.length;
    header.set(lacing, 27);
    const page = Buffer.concat([header, ...packets]);
    page.writeUInt32LE(checksum(page), 22);
    return page;
  }
}
