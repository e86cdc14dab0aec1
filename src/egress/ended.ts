/** Which states of an egress are final. */
import { EgressStatus } from '@livekit/protocol';

export function isEnded(status: EgressStatus): boolean {
  switch (status) {
    case EgressStatus.EGRESS_COMPLETE:
    case EgressStatus.EGRESS_FAILED:
    case EgressStatus.EGRESS_ABORTED:
    case EgressStatus.EGRESS_LIMIT_REACHED:
      return true;
    case EgressStatus.EGRESS_STARTING:
    case EgressStatus.EGRESS_ACTIVE:
    case EgressStatus.EGRESS_ENDING:
      return false;
  }
}
