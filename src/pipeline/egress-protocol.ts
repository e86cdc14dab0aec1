/** The egress program's protocol, as a host speaks it. */
import { z } from 'zod';
import type { Command, CommandName, CommandResults, PipelineEvent } from '../../pipelines/shared/protocol.ts';
import { none, port, type ProgramProtocol, sharedEvents, sharedResults } from './program-protocol.ts';

/** Its commands, answers and events. */
export interface EgressTypes {
  command: Command;
  results: CommandResults;
  event: PipelineEvent;
}

const resultSchemas = {
  ...sharedResults,
  bind: port,
  connect: none,
  disconnect: none,
  setMuted: none,
  layout: none,
  keyFrame: none,
  hide: none,
  openTap: none,
  chunking: none,
} satisfies { [C in CommandName]: z.ZodType<CommandResults[C]> };

const nanoseconds = z.number().nonnegative();

const eventSchema = z.discriminatedUnion('event', [
  ...sharedEvents,
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
  z.object({ event: z.literal('trackLevel'), trackId: z.string(), rms: z.number() }),
  z.object({ event: z.literal('trackClock'), trackId: z.string(), atZeroNs: z.string().regex(/^-?\d+$/) }),
  z.object({ event: z.literal('trackSync'), trackId: z.string(), offsetNs: z.number() }),
]);

export const egressProtocol: ProgramProtocol<EgressTypes> = {
  program: 'egress',
  resultSchemas,
  // Absent keys stay absent (JSON has no undefined): what zod's types cannot say.
  eventSchema: eventSchema as z.ZodType<PipelineEvent>,
};
