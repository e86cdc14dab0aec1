/** Which track goes to which slot of a viewer (pure). */

export interface Slot {
  kind: 'audio' | 'video';
  /** The n-th slot of its kind: slots of one rank make a pair, which players keep in sync. */
  rank: number;
  /** Sid of the participant whose track it holds; undefined when free. */
  owner: string | undefined;
}

/**
 * A free slot for a track: the one whose pair holds the same participant's other track, else one whose pair is
 * free too, so that a participant's tracks stay together, else any.
 * @returns undefined when every slot of the kind is taken
 */
export function chooseSlot<T extends Slot>(
  slots: readonly T[],
  track: { kind: 'audio' | 'video'; owner: string },
): T | undefined {
  const free = slots.filter((slot) => slot.kind === track.kind && slot.owner === undefined);
  const partner = (slot: Slot) => slots.find((other) => other.kind !== slot.kind && other.rank === slot.rank);
  return (
    free.find((slot) => partner(slot)?.owner === track.owner) ??
    free.find((slot) => partner(slot)?.owner === undefined) ??
    free[0]
  );
}
