/** Why an attempt ends: the session with a last state, or only this attempt. */
export type Cause =
  /** The source has played to its end, or its room has. */
  | { type: 'complete'; reason: string }
  /** It was told to end. */
  | { type: 'finish'; reason: string }
  /** It cannot go on. */
  | { type: 'fail'; reason: string }
  /** The session is over already, or a newer attempt has it: nothing is written. */
  | { type: 'superseded' }
  | { type: 'hand-over' };

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
