/**
 * Which machines a URL of a request may lead to: public addresses, and the networks an operator allows besides. Whoever
 * may send a request could otherwise reach what only this machine can.
 */
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import { inNetworks, networkList, plainAddress, specialNetwork } from './addresses.ts';
import { GuardError } from './errors.ts';
import { lookUp } from './lookup.ts';

export interface AddressPolicyOptions {
  /** `address/prefix`, or single addresses, that may be reached although they are not public. */
  allowNetworks: readonly string[];
  /** The configuration key that would allow more, for messages. */
  setting: string;
  logger: Logger;
}

export interface AddressPolicy {
  /**
   * The address to connect to for a host (a name, an address, or an odd spelling of one). All of its addresses must
   * be allowed. Connect to exactly this address: the name may stand for another one a moment later.
   * @throws GuardError
   */
  resolve(host: string): Promise<string>;
}

/** @throws TypeError when `allowNetworks` holds something that is no network */
export function createAddressPolicy(options: AddressPolicyOptions): AddressPolicy {
  const allowed = networkList(options.allowNetworks);
  const { setting, logger } = options;

  function check(name: string, address: string): void {
    const special = specialNetwork(address);
    if (!special || inNetworks(allowed, address)) return;
    logger.warn({ host: name, address, network: special.cidr }, 'refused to reach an address');
    const subject = name === address ? address : `${name} is ${address}, which`;
    const single = `${address}/${isIP(address) === 6 ? 128 : 32}`;
    throw new GuardError(
      `${subject} is in ${special.cidr} (${special.what}) and may not be reached: ` +
        `${setting} would have to list it, as ${single} or as a network that holds it`,
    );
  }

  return {
    resolve: async (host) => {
      const name = plainHost(host);
      const addresses = isIP(name) === 0 ? await lookUp(name) : [name];
      for (const address of addresses) check(name, plainAddress(address));
      // IPv4 first: many networks name IPv6 addresses that they do not carry.
      const chosen = addresses.find((address) => isIP(address) === 4) ?? addresses[0];
      if (chosen === undefined) throw new GuardError(`${name} has no address`, { retry: true });
      return plainAddress(chosen);
    },
  };
}

/** A host as the WHATWG URL standard reads it: `2130706433`, `0x7f.1` and `0177.0.0.1` are `127.0.0.1`. @throws GuardError */
export function plainHost(host: string): string {
  const bracketed = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  try {
    const { hostname } = new URL(`http://${bracketed}/`);
    if (hostname === '' || /[/?#@]/.test(host)) throw new TypeError('no host');
    return hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  } catch (cause) {
    throw new GuardError(`"${host}" is not a host name or an IP address`, { retry: false, cause });
  }
}
