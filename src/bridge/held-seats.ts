/**
 * Seats of ingresses whose worker is gone: the participant stays in the room without tracks until the next attempt
 * takes its place, so that the room sees a source that pauses and not somebody who leaves and comes again.
 */
import { ParticipantInfo_Kind } from '@livekit/protocol';
import type { JoinOptions, SfuParticipant } from '../sfu/types.ts';

/** Whether the room is to see one participant through every attempt: one that publishes, and everybody sees. */
export function keepsSeat({ kind, permissions }: Pick<JoinOptions, 'kind' | 'permissions'>): boolean {
  return kind === ParticipantInfo_Kind.INGRESS && permissions.canPublish && !permissions.hidden;
}

export class HeldSeats {
  readonly #holdMs: number;
  readonly #held = new Map<SfuParticipant, { release: () => void }>();

  /** @param holdMs how long the next attempt may take */
  constructor(holdMs: number) {
    this.#holdMs = holdMs;
  }

  /** Keeps a participant nobody stands behind; when nobody comes it leaves as one whose connection was lost. */
  hold(participant: SfuParticipant): void {
    const timer = setTimeout(() => participant.close('connection_lost'), this.#holdMs);
    // The room may end meanwhile, or the participant be removed or replaced.
    const stopListening = participant.onClose(() => this.take(participant));
    const release = (): void => {
      clearTimeout(timer);
      stopListening();
    };
    if (!participant.closed) this.#held.set(participant, { release });
  }

  /** Ends the hold, for somebody who stands behind the participant again. */
  take(participant: SfuParticipant): void {
    this.#held.get(participant)?.release();
    this.#held.delete(participant);
  }

  /** Everybody held leaves: the server ends. */
  close(): void {
    for (const participant of [...this.#held.keys()]) participant.close('node_shutdown');
  }
}
