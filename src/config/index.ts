export { loadConfig } from './load.ts';
export type { LoadOptions } from './load.ts';
export { ConfigError } from './errors.ts';
export { clientIceServers } from './ice.ts';
export type { ClientIceServer } from './ice.ts';
export { isLoopback } from './loopback.ts';
export { KEY_NAMES, environmentName } from './keys.ts';
export type { Config, IceServerConfig, LogLevel, S3Config } from './types.ts';
