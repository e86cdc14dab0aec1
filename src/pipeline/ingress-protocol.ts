/** The ingress program's protocol, as a host speaks it. */
import { z } from 'zod';
import type {
  IngressCommand,
  IngressCommandName,
  IngressCommandResults,
  IngressEvent,
} from '../../pipelines/shared/ingress-protocol.ts';
import { none, port, type ProgramProtocol, sharedEvents, sharedResults } from './program-protocol.ts';

/** Its commands, answers and events. */
export interface IngressTypes {
  command: IngressCommand;
  results: IngressCommandResults;
  event: IngressEvent;
}

const resultSchemas = {
  ...sharedResults,
  bind: port,
  connect: none,
  bindInput: port,
  connectInput: none,
  layerSizes: none,
  keyFrame: none,
} satisfies { [C in IngressCommandName]: z.ZodType<IngressCommandResults[C]> };

const kind = z.enum(['audio', 'video']);

const eventSchema = z.discriminatedUnion('event', [
  ...sharedEvents,
  z.object({
    event: z.literal('inputFormat'),
    kind,
    width: z.number().int().positive().optional(),
    height: z.number().int().positive().optional(),
    framerate: z.number().positive().optional(),
    channels: z.number().int().positive().optional(),
    rate: z.number().int().positive().optional(),
  }),
  z.object({ event: z.literal('flowing'), kind }),
]);

export const ingressProtocol: ProgramProtocol<IngressTypes> = {
  program: 'ingress',
  resultSchemas,
  // Absent keys stay absent (JSON has no undefined): what zod's types cannot say.
  eventSchema: eventSchema as z.ZodType<IngressEvent>,
};
