/** What the protocols of all pipeline programs have in common. */
import { z } from 'zod';

/** The types of one program's protocol: its commands, each command's answer by its name, its events. */
export interface ProgramTypes {
  command: { cmd: string };
  results: object;
  event: { event: string };
}

/** Payload of the answer to one command. */
export type ResultOf<T extends ProgramTypes, C extends T['command']> = C['cmd'] extends keyof T['results']
  ? T['results'][C['cmd']]
  : never;

/** A program and how what it says is checked. */
export interface ProgramProtocol<T extends ProgramTypes> {
  /** Name of the built program, without folder and ending. */
  program: string;
  resultSchemas: Record<T['command']['cmd'], z.ZodType>;
  eventSchema: z.ZodType<T['event']>;
}

/** Answer that says nothing. */
export const none = z.object({}).transform(() => ({}));

export const port = z.object({ port: z.number().int().min(1).max(65535) });

/** Answers of the commands every program has. */
export const sharedResults = {
  init: none,
  start: none,
  describe: z.object({
    elements: z.array(z.object({ name: z.string(), factory: z.string(), klass: z.string() })),
  }),
  ping: z.object({ rssBytes: z.number().nonnegative() }),
  stop: none,
};

/** Events every program has. */
export const sharedEvents = [
  z.object({ event: z.literal('ready'), pid: z.number().int().positive() }),
  z.object({ event: z.literal('warning'), message: z.string() }),
  z.object({ event: z.literal('error'), message: z.string(), element: z.string().optional() }),
  z.object({ event: z.literal('eos') }),
] as const;
