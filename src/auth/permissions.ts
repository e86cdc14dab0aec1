import type { TrackSource } from '@livekit/protocol';

/** What a participant may do; from the access token's video grant. */
export interface Permissions {
  canPublish: boolean;
  canSubscribe: boolean;
  canPublishData: boolean;
  /** Empty: every source. */
  canPublishSources: TrackSource[];
  hidden: boolean;
  recorder: boolean;
}
