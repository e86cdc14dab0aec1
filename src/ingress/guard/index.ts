/** What URL inputs may reach, and the proxy that holds HTTP to it. */
export { createGuard, GuardError } from './guard.ts';
export type { Guard, GuardOptions } from './guard.ts';
