/** Why a publisher is refused or a session ended, in the user's words. */
import type { LeaveReason } from '../../sfu/types.ts';
import { WhipIngressError } from './types.ts';

/** What it means for a session that its participant left; empty: it ended as it should. */
export const LEFT: Readonly<Record<LeaveReason, string>> = {
  client_left: '',
  node_shutdown: 'the server was shut down',
  connection_lost: 'the connection was lost',
  duplicate_identity: 'another participant came with the same identity',
  superseded: 'another participant came with the same identity',
  removed: 'the participant was removed from the room',
  room_deleted: 'the room was deleted',
};

export function refusal(why: 'not_found' | 'disabled' | 'busy'): WhipIngressError {
  switch (why) {
    case 'not_found':
      return new WhipIngressError('not_found', 'no WHIP ingress has this stream key');
    case 'disabled':
      return new WhipIngressError('forbidden', 'this ingress is disabled');
    case 'busy':
      return new WhipIngressError(
        'busy',
        'this ingress is already publishing: it takes one publisher at a time',
      );
  }
}
