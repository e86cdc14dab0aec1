/** What a connection may take its time for. Pure. */
import type { RtmpLimits } from './types.ts';

export type Stage = 'handshake' | 'commands' | 'authorising' | 'live' | 'closed';

/** ms since: the stage began, the last byte, the last audio or video. */
export interface Elapsed {
  stage: number;
  bytes: number;
  media: number;
}

/** Why a connection in that stage is to be ended now; undefined when it is not. */
export function overdue(stage: Stage, elapsed: Elapsed, limits: RtmpLimits): string | undefined {
  switch (stage) {
    case 'closed':
      return undefined;
    case 'authorising':
      // Nothing is read meanwhile: that no byte comes is no fault.
      return elapsed.stage > limits.publishMs ? 'the stream cannot be taken now; try again' : undefined;
    case 'handshake':
      if (elapsed.stage > limits.handshakeMs) return `no RTMP handshake within ${limits.handshakeMs} ms`;
      break;
    case 'commands':
      if (elapsed.stage > limits.publishMs) return `nothing was published within ${limits.publishMs} ms`;
      break;
    case 'live':
      if (elapsed.media > limits.mediaMs) return `no audio or video for ${limits.mediaMs} ms`;
      break;
  }
  return elapsed.bytes > limits.idleMs ? `not a byte for ${limits.idleMs} ms` : undefined;
}
