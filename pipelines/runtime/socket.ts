/** UDP sockets of tracks. */
import Gio from 'gi://Gio?version=2.0';

/** Inclusive; without bounds the kernel chooses. */
export interface PortRange {
  min?: number;
  max?: number;
}

/** Ports tried in a range before giving up: a full range answers soon. */
const MAX_TRIES = 400;

/** Binds a UDP socket. @throws Error if the address is not one, or no port of the range is free */
export function bindUdp(ip: string, { min, max }: PortRange): { socket: Gio.Socket; port: number } {
  const address = Gio.InetAddress.new_from_string(ip) as Gio.InetAddress | null;
  if (!address) throw new Error(`${ip} is not an IP address to bind`);
  if (min === undefined || max === undefined) return bindTo(address, 0);
  const count = max - min + 1;
  if (count < 1) throw new Error(`port range ${min}-${max} is empty`);
  const first = Math.floor(Math.random() * count);
  let failure: unknown;
  for (let index = 0; index < Math.min(count, MAX_TRIES); index++) {
    try {
      return bindTo(address, min + ((first + index) % count));
    } catch (error) {
      failure = error;
    }
  }
  const reason = failure instanceof Error ? failure.message : String(failure);
  throw new Error(`no free UDP port in ${min}-${max} on ${ip}: ${reason}`);
}

function bindTo(address: Gio.InetAddress, port: number): { socket: Gio.Socket; port: number } {
  const socket = Gio.Socket.new(address.get_family(), Gio.SocketType.DATAGRAM, Gio.SocketProtocol.UDP);
  try {
    // Not to be shared: two receivers on one port would take each other's packets.
    socket.bind(Gio.InetSocketAddress.new(address, port), false);
    const local = socket.get_local_address();
    if (!(local instanceof Gio.InetSocketAddress)) throw new Error('the socket has no IP address');
    return { socket, port: local.get_port() };
  } catch (error) {
    socket.close();
    throw error;
  }
}
