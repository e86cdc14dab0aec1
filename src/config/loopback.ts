import { isIPv4 } from 'node:net';

/** Whether only this machine can reach what listens on `host`. A name counts only when it is localhost. */
export function isLoopback(host: string): boolean {
  const plain = host.toLowerCase().replace(/^\[|\]$/g, '');
  if (plain === 'localhost' || plain === '::1') return true;
  return isIPv4(plain.replace(/^::ffff:/, '')) && plain.replace(/^::ffff:/, '').startsWith('127.');
}
