/** What URLs of requests may reach, and what holds HTTP to it. */
export { checkedAgents } from './agents.ts';
export type { CheckedAgents } from './agents.ts';
export { GuardError } from './errors.ts';
export { startForwardProxy } from './forward-proxy.ts';
export type { ForwardProxy, ForwardProxyOptions } from './forward-proxy.ts';
export { createGuard } from './guard.ts';
export type { Guard, GuardOptions } from './guard.ts';
export { createAddressPolicy, plainHost } from './policy.ts';
export type { AddressPolicy, AddressPolicyOptions } from './policy.ts';
export { proxyAgents } from './proxy-agents.ts';
export { startGuardProxy } from './proxy.ts';
export type { GuardProxy, GuardProxyOptions } from './proxy.ts';
