/** How RTP travels between the SFU and this worker. Pure. */
import { isIP } from 'node:net';

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}

/**
 * On one machine RTP stays on loopback and in the clear; as soon as it may cross a network it is SRTP.
 *
 * @param bridgeUrl URL of the SFU's bridge.
 * @param workerAddress address others reach this worker at (`worker.address`).
 */
export function rtpPath(bridgeUrl: string, workerAddress: string): { address: string; srtp: boolean } {
  const { hostname } = new URL(bridgeUrl);
  if (isLoopback(hostname) || hostname === workerAddress) {
    return { address: isLoopback(hostname) ? '127.0.0.1' : workerAddress, srtp: false };
  }
  return { address: workerAddress, srtp: true };
}
