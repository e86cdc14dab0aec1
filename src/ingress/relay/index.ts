/** RTMP publishers, held for workers. */
export { relayInput } from './client.ts';
export type { RelayInputOptions } from './client.ts';
export { relayPlugin } from './plugin.ts';
export type { RelayEnd } from './reader.ts';
export { RtmpRelay } from './relay.ts';
export type { RtmpRelayOptions } from './relay.ts';
