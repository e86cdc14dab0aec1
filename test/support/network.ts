/** A bad network between two ends that speak UDP: it loses, delays and reorders, the same way in every run. */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';

const LOOPBACK = '127.0.0.1';

/** What a network does to packets; everything it does not say it does not do. */
export interface NetworkFaults {
  /** Share of packets that vanish, 0–1. */
  loss?: number;
  /** At the end of every `everyMs`, for `forMs`, this share vanishes instead. */
  bursts?: { loss: number; everyMs: number; forMs: number };
  /** Share of packets that are overtaken by all that come within `byMs` after them. */
  reorder?: { share: number; byMs: number };
  /** How long all packets take, ms. */
  delayMs?: number;
}

/** Decides about every packet. Its faults may be changed while packets pass. */
export class Network {
  faults: NetworkFaults;
  /** Packets so far: of all, how many vanished and how many were overtaken. */
  readonly counts = { seen: 0, lost: 0, reordered: 0 };
  readonly #startedAt = performance.now();
  readonly #timers = new Set<NodeJS.Timeout>();
  #state: number;
  #closed = false;

  /** @param seed of what is called chance here, an integer above 0 */
  constructor(faults: NetworkFaults, seed = 20_260) {
    this.faults = faults;
    this.#state = seed;
  }

  /** Share of the packets that vanished. */
  get lost(): number {
    return this.counts.lost / Math.max(1, this.counts.seen);
  }

  /** Brings a packet over: calls `deliver` now, later, or never. */
  pass(deliver: () => void): void {
    if (this.#closed) return;
    const { reorder, delayMs = 0 } = this.faults;
    this.counts.seen++;
    // One draw for each, whatever is asked for: faults that are changed do not change the others' chance.
    const [vanishes, overtaken] = [this.#random() < this.#loss(), this.#random() < (reorder?.share ?? 0)];
    if (vanishes) {
      this.counts.lost++;
      return;
    }
    if (overtaken) this.counts.reordered++;
    const ms = delayMs + (overtaken ? (reorder?.byMs ?? 0) : 0);
    if (ms === 0) {
      deliver();
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      deliver();
    }, ms);
    this.#timers.add(timer);
  }

  /** Nothing is delivered from now on. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #loss(): number {
    const { loss = 0, bursts } = this.faults;
    if (!bursts) return loss;
    const at = (performance.now() - this.#startedAt) % bursts.everyMs;
    return at >= bursts.everyMs - bursts.forMs ? bursts.loss : loss;
  }

  /** Park–Miller, 0–1. */
  #random(): number {
    this.#state = (this.#state * 48_271) % 2_147_483_647;
    return this.#state / 2_147_483_647;
  }
}

/** A UDP relay with a {@link Network} in it, both ways: RTP and RTCP alike. */
export class UdpPath {
  readonly network: Network;
  readonly #socket: Socket = createSocket('udp4');
  #near: number | undefined;
  #far: number | undefined;

  constructor(faults: NetworkFaults, seed?: number) {
    this.network = new Network(faults, seed);
  }

  /** @returns the port both ends send to */
  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.#socket.bind(0, LOOPBACK, resolve));
    this.#socket.on('message', (data, from) => {
      const target = from.port === this.#near ? this.#far : this.#near;
      if (target !== undefined)
        this.network.pass(() => this.#socket.send(data, target, LOOPBACK, () => undefined));
    });
    return this.#socket.address().port;
  }

  /** Which ports it is between. */
  connect(nearPort: number, farPort: number): void {
    this.#near = nearPort;
    this.#far = farPort;
  }

  close(): void {
    this.network.close();
    this.#socket.close();
  }
}
