/** Reads what a pipeline program says: every line is checked before anybody acts on it. */
import { z } from 'zod';
import type { ProgramProtocol, ProgramTypes } from './program-protocol.ts';

const answerSchema = z.union([
  z.object({ id: z.number().int(), ok: z.unknown() }),
  z.object({ id: z.number().int(), error: z.string() }),
]);

/** What one line of a program is. */
export type ProgramLine<E> =
  | { type: 'event'; event: E }
  | { type: 'answer'; id: number; ok: unknown }
  | { type: 'failure'; id: number; error: string };

/** @throws Error if the line is not of the protocol */
export function parseLine<T extends ProgramTypes>(
  line: string,
  { eventSchema }: ProgramProtocol<T>,
): ProgramLine<T['event']> {
  const value: unknown = JSON.parse(line);
  if (typeof value === 'object' && value !== null && 'id' in value) {
    const answer = answerSchema.parse(value);
    return 'error' in answer
      ? { type: 'failure', id: answer.id, error: answer.error }
      : { type: 'answer', id: answer.id, ok: answer.ok };
  }
  return { type: 'event', event: eventSchema.parse(value) };
}
