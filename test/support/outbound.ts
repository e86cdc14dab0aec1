/** Outbound policies of tests, whose peers are on this machine. */
import type { Logger } from 'pino';
import { createAddressPolicy } from '../../src/outbound/index.ts';
import type { AddressPolicy } from '../../src/outbound/index.ts';

/** Lets requests reach this machine. */
export function loopbackPolicy(logger: Logger): AddressPolicy {
  return createAddressPolicy({ allowNetworks: ['127.0.0.0/8'], setting: 'outbound.allow_networks', logger });
}
