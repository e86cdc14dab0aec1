/** Which of this machine's addresses a worker sends to and hears from. Pure, but for the list of addresses. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

export interface MediaAddresses {
  /** IP address the SFU's PlainTransports listen on. */
  listenIp: string;
  /** What workers on other machines are told instead. */
  announcedAddress?: string | undefined;
}

/** Whether an address is one of this machine's, loopback included. */
export function isLocalAddress(ip: string, own: ReadonlySet<string> = ownAddresses()): boolean {
  return ip.startsWith('127.') || ip === '::1' || own.has(ip);
}

/**
 * The address a worker is told.
 * @param workerIp where the worker wants its media
 * @param reachedAt the address of this machine the worker's WebSocket came to: right whenever nothing is configured
 */
export function mediaAddress(
  workerIp: string,
  addresses: MediaAddresses,
  reachedAt: string,
  own: ReadonlySet<string> = ownAddresses(),
): string {
  const anyAddress = addresses.listenIp === '0.0.0.0' || addresses.listenIp === '::';
  // On one machine the kernel answers from the address it was sent to.
  if (isLocalAddress(workerIp, own)) return anyAddress ? workerIp : addresses.listenIp;
  return addresses.announcedAddress ?? (anyAddress ? plainIp(reachedAt) : addresses.listenIp);
}

/** Node shows IPv4 peers of a dual-stack socket as `::ffff:10.0.0.1`. */
function plainIp(ip: string): string {
  const mapped = /^::ffff:(.+)$/i.exec(ip)?.[1];
  return mapped !== undefined && isIP(mapped) === 4 ? mapped : ip;
}

function ownAddresses(): Set<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)),
  );
}
