/** Lines of an attempt's index, parsed: the index was written by another process, so nothing about it is taken on trust. */
import { z } from 'zod';
import type { IndexLine } from './types.ts';

const ns = z.number().int();
const count = z.number().int().min(0);
/** A bare name: an index can never point outside its own folder. */
const fileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);

const lineSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('attempt'),
    attempt: count,
    egressId: z.string(),
    epochMs: z.number(),
    container: z.enum(['mpegts', 'matroska']),
    seals: z.array(
      z.object({
        attempt: count,
        indexBytes: count,
        unlisted: z.array(z.object({ file: fileName, bytes: count })),
      }),
    ),
  }),
  z.object({
    type: z.literal('chunk'),
    attempt: count,
    run: count,
    number: count,
    file: fileName,
    startNs: ns,
    durationNs: count,
    wallMs: z.number(),
    bytes: count,
    videoFrames: count,
    audioFrames: count,
    keyFrames: count,
    video: z.array(
      z.object({
        codec: z.string(),
        width: count,
        height: count,
        profile: z.string().exactOptional(),
        parametersHash: z.string(),
      }),
    ),
    audio: z.object({ codec: z.string(), sampleRate: z.number(), channels: count }).nullable(),
    recovered: z.literal(true).exactOptional(),
    truncatedBytes: count.exactOptional(),
  }),
  z.object({ type: z.literal('gap'), startNs: ns, endNs: ns, reason: z.string() }),
  z.object({
    type: z.literal('event'),
    atNs: ns,
    wallMs: z.number(),
    name: z.enum([
      'mute',
      'unmute',
      'pause',
      'resume',
      'join',
      'leave',
      'publish',
      'unpublish',
      'marker',
      'metadata',
      'clock',
      'stall',
      'flow',
      'pipeline_restart',
    ]),
    data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).exactOptional(),
  }),
  z.object({ type: z.literal('dropped'), attempt: count, run: count, number: count }),
  z.object({ type: z.literal('end'), atNs: ns }),
]);

/** One line of text, without its line break; undefined when it is not a whole, valid line. */
export function parseIndexLine(text: string): IndexLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = lineSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

export interface ParsedIndex {
  lines: IndexLine[];
  /** Bytes up to and including the last line break: a line without one was cut by a kill. */
  wholeBytes: number;
  /** Line numbers (from 1) that are whole but not valid. */
  invalid: number[];
}

/** Parses an index's bytes, of which `limit` count (a seal's). */
export function parseIndex(bytes: Uint8Array, limit = bytes.length): ParsedIndex {
  const end = Math.min(limit, bytes.length);
  const wholeBytes = Buffer.from(bytes.buffer, bytes.byteOffset, end).lastIndexOf(0x0a) + 1;
  const result: ParsedIndex = { lines: [], wholeBytes, invalid: [] };
  const texts = Buffer.from(bytes.subarray(0, wholeBytes)).toString('utf8').split('\n');
  texts.pop(); // behind the last line break
  texts.forEach((text, i) => {
    const line = parseIndexLine(text);
    if (line) result.lines.push(line);
    else result.invalid.push(i + 1);
  });
  return result;
}
