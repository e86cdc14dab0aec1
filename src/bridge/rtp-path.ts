/** How RTP travels between the SFU and this worker. Pure, but for the list of this machine's addresses. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

function ownAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return new Set(all.map(({ address }) => address));
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}

/**
 * On one machine RTP stays on loopback and in the clear; as soon as it may cross a network it is SRTP.
 *
 * @param bridgeUrl URL of the SFU's bridge.
 * @param workerAddress address others reach this worker at (`worker.address`).
 */
export function rtpPath(
  bridgeUrl: string,
  workerAddress: string,
  own: ReadonlySet<string> = ownAddresses(),
): { address: string; srtp: boolean } {
  const { hostname } = new URL(bridgeUrl);
  if (isLoopback(hostname)) return { address: '127.0.0.1', srtp: false };
  if (own.has(hostname)) return { address: hostname, srtp: false };
  return { address: workerAddress, srtp: true };
}
