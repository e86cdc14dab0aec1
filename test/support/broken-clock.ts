/** A publisher with a broken clock: rewrites its RTP and RTCP on their way, and holds packets back. */

/** What is wrong; everything that is not named is right. */
export interface ClockFaults {
  /** How many times as fast as it should the RTP clock runs. */
  rate?: number;
  /** The media itself comes this many times as fast as real time, a device's clock that is off. Within 0.95–1.05. */
  pace?: number;
  /** RTP timestamps jump, sequence numbers go on: `atMs` after the first packet, by `seconds` (below 0: back). */
  jumps?: { atMs: number; seconds: number }[];
  /** NTP time of Sender Reports (RFC 3550, 6.4.1), 32.32 fixed point seconds since 1900. */
  ntp?: (right: bigint, index: number) => bigint;
  /** Another SSRC from `atMs` on. */
  ssrc?: { atMs: number; ssrc: number };
}

const RTCP_SENDER_REPORT = 200;
/** What a device that is too fast may be ahead in a test, ms. */
const AHEAD_MS = 400;

/** RFC 5761, 4: packet types 192 to 223. */
export function isRtcp(packet: Uint8Array): boolean {
  const type = packet[1] ?? 0;
  return type >= 192 && type <= 223;
}

/** One track's clock. */
export class BrokenClock {
  readonly #faults: ClockFaults;
  readonly #clockRate: number;
  #startedAt: number | undefined;
  #firstTimestamp: number | undefined;
  #reports = 0;

  /** @param clockRate of the RTP timestamps, Hz */
  constructor(faults: ClockFaults, clockRate: number) {
    this.#faults = faults;
    this.#clockRate = clockRate;
  }

  /** Changes the packet in place. @returns how long it is to be held back, ms */
  apply(packet: Buffer): number {
    this.#startedAt ??= performance.now();
    const sinceMs = performance.now() - this.#startedAt;
    const { ssrc, pace = 1 } = this.#faults;
    const changed = ssrc !== undefined && sinceMs >= ssrc.atMs ? ssrc.ssrc : undefined;
    if (!isRtcp(packet)) {
      packet.writeUInt32BE(this.#timestamp(packet.readUInt32BE(4), sinceMs), 4);
      if (changed !== undefined) packet.writeUInt32BE(changed, 8);
    } else if (packet[1] === RTCP_SENDER_REPORT && packet.length >= 28) {
      if (changed !== undefined) packet.writeUInt32BE(changed, 4);
      packet.writeUInt32BE(this.#timestamp(packet.readUInt32BE(16), sinceMs), 16);
      if (this.#faults.ntp)
        packet.writeBigUInt64BE(
          BigInt.asUintN(64, this.#faults.ntp(packet.readBigUInt64BE(8), this.#reports++)),
          8,
        );
    }
    // A slow device falls behind ever more; a fast one begins late and catches up.
    const drift = (1 / pace - 1) * sinceMs;
    return Math.max(0, pace < 1 ? drift : pace > 1 ? AHEAD_MS + drift : 0);
  }

  #timestamp(right: number, sinceMs: number): number {
    this.#firstTimestamp ??= right;
    const { rate = 1, jumps = [] } = this.#faults;
    // RTP timestamps wrap at 32 bit: the signed difference.
    const elapsed = (right - this.#firstTimestamp) | 0;
    const jumped = jumps
      .filter(({ atMs }) => sinceMs >= atMs)
      .reduce((sum, { seconds }) => sum + seconds * this.#clockRate, 0);
    return (this.#firstTimestamp + Math.round(elapsed * rate) + jumped) >>> 0;
  }
}
