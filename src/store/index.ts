export { createEgressStore } from './egress-store.ts';
export type { EgressStoreOptions } from './egress-store.ts';
export { startEmbeddedRedis } from './embedded-redis.ts';
export type { EmbeddedRedis } from './embedded-redis.ts';
export { StoreError } from './errors.ts';
export { closeRedis, connectRedis } from './redis.ts';
export type { RedisConnections } from './redis.ts';
export type { EgressDesired, EgressRecord, EgressStore } from './types.ts';
