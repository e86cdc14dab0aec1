/** Reads what a pipeline program says: every line is checked before anybody acts on it. */
import { z } from 'zod';
import type { CommandName, CommandResults, PipelineEvent } from '../../pipelines/shared/protocol.ts';

const none = z.object({}).transform(() => ({}));

/** Payload of each command's answer. */
export const resultSchemas = {
  init: none,
  start: none,
  bind: z.object({ port: z.number().int().min(1).max(65535) }),
  connect: none,
  disconnect: none,
  setMuted: none,
  layout: none,
  keyFrame: none,
  chunking: none,
  describe: z.object({
    elements: z.array(z.object({ name: z.string(), factory: z.string(), klass: z.string() })),
  }),
  ping: z.object({ rssBytes: z.number().nonnegative() }),
  stop: none,
} satisfies { [C in CommandName]: z.ZodType<CommandResults[C]> };

const nanoseconds = z.number().nonnegative();

const eventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('ready'), pid: z.number().int().positive() }),
  z.object({
    event: z.literal('chunk'),
    file: z.string().regex(/^[^/]+$/),
    index: z.number().int().nonnegative(),
    startNs: nanoseconds,
    durationNs: nanoseconds,
  }),
  z.object({
    event: z.literal('trackFormat'),
    trackId: z.string(),
    width: z.number().optional(),
    height: z.number().optional(),
    framerate: z.number().optional(),
    channels: z.number().optional(),
    rate: z.number().optional(),
  }),
  z.object({ event: z.literal('trackFlow'), trackId: z.string(), flowing: z.boolean() }),
  z.object({ event: z.literal('trackError'), trackId: z.string(), message: z.string() }),
  z.object({ event: z.literal('trackSync'), trackId: z.string(), offsetNs: z.number() }),
  z.object({ event: z.literal('warning'), message: z.string() }),
  z.object({ event: z.literal('error'), message: z.string(), element: z.string().optional() }),
  z.object({ event: z.literal('eos') }),
]);

const answerSchema = z.union([
  z.object({ id: z.number().int(), ok: z.unknown() }),
  z.object({ id: z.number().int(), error: z.string() }),
]);

/** What one line of a program is. */
export type ProgramLine =
  | { type: 'event'; event: PipelineEvent }
  | { type: 'answer'; id: number; ok: unknown }
  | { type: 'failure'; id: number; error: string };

/** @throws Error if the line is not of the protocol */
export function parseLine(line: string): ProgramLine {
  const value: unknown = JSON.parse(line);
  if (typeof value === 'object' && value !== null && 'id' in value) {
    const answer = answerSchema.parse(value);
    return 'error' in answer
      ? { type: 'failure', id: answer.id, error: answer.error }
      : { type: 'answer', id: answer.id, ok: answer.ok };
  }
  return { type: 'event', event: withoutUndefined(eventSchema.parse(value)) };
}

/** Absent keys stay absent (JSON has no undefined): what zod's types cannot say. */
function withoutUndefined(event: z.infer<typeof eventSchema>): PipelineEvent {
  return event as PipelineEvent;
}
