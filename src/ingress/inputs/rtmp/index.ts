/** Our own RTMP(S) server that takes streams and plays none (Adobe RTMP 1.0). */
export { flvHeader, flvTag } from './flv.ts';
export type { FlvTag } from './flv.ts';
export { createRtmpServer } from './server.ts';
export { DEFAULT_LIMITS } from './types.ts';
export type {
  Authorise,
  MediaSink,
  PublishRequest,
  RtmpLimits,
  RtmpPublisher,
  RtmpServer,
  RtmpServerOptions,
} from './types.ts';
