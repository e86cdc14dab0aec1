/** What URL inputs may reach, and the proxy that holds HTTP to it. */
export { createGuard, GuardError, plainHost } from './guard.ts';
export type { Guard, GuardOptions } from './guard.ts';
export { startGuardProxy } from './proxy.ts';
export type { GuardProxy, GuardProxyOptions } from './proxy.ts';
