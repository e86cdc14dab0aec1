/** How many connections are open: altogether, and from one address. */
import { isIPv6 } from 'node:net';
import type { Server, Socket } from 'node:net';

export interface ConnectionLimits {
  maxConnections: number;
  maxConnectionsPerAddress: number;
}

/** Whom connections are counted for: an IPv4 address, or the /64 an IPv6 address is in, which is one customer's. Pure. */
export function peerOf(address: string | undefined): string {
  const plain = (address ?? 'unknown').replace(/^::ffff:(?=\d+\.)/i, '').split('%')[0] ?? '';
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(Math.max(0, zeros)).fill('0'), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}

export class ConnectionCount {
  readonly #limits: ConnectionLimits;
  readonly #byPeer = new Map<string, number>();
  #open = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  get open(): number {
    return this.#open;
  }

  /** @returns what gives the place back (once), or which limit is reached */
  enter(address: string | undefined): (() => void) | string {
    const peer = peerOf(address);
    const here = this.#byPeer.get(peer) ?? 0;
    if (this.#open >= this.#limits.maxConnections) return 'too many connections';
    if (here >= this.#limits.maxConnectionsPerAddress) return 'too many connections from this address';
    this.#open++;
    this.#byPeer.set(peer, here + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#open--;
      const left = (this.#byPeer.get(peer) ?? 1) - 1;
      if (left > 0) this.#byPeer.set(peer, left);
      else this.#byPeer.delete(peer);
    };
  }
}

/** Closes what is over the limits, from a connection's first moment on, before TLS and whatever it says. */
export function limitConnections(
  server: Server,
  limits: ConnectionLimits,
  onRefused: (address: string, reason: string) => void,
): ConnectionCount {
  const count = new ConnectionCount(limits);
  // Before the listeners of whoever serves it.
  server.prependListener('connection', (socket: Socket) => {
    const place = count.enter(socket.remoteAddress);
    if (typeof place !== 'string') {
      socket.once('close', place);
      return;
    }
    onRefused(peerOf(socket.remoteAddress), place);
    socket.destroy();
  });
  return count;
}
