/** What FFmpeg needs to read one kind of source, and what belongs to it: relays, gates, open files. */
import type { Logger } from 'pino';
import type { InputEnd, InputError } from '../types.ts';
import type { Guard } from '../../../outbound/index.ts';

export interface SourceContext {
  guard: Guard;
  logger: Logger;
  signal: AbortSignal;
}

export interface Source {
  /** FFmpeg's options before `-i`. */
  readonly options: readonly string[];
  /** What FFmpeg opens. */
  readonly url: string;
  /** FFmpeg's environment besides the usual. */
  readonly env?: Readonly<Record<string, string>>;
  /** What no list of processes may show: FFmpeg reads it from HIDDEN_PIPE. */
  readonly hidden?: string;
  /** `none`: it reads files only. */
  readonly network?: 'none';
  /** Descriptors FFmpeg gets as 3, 4, … */
  readonly files?: readonly number[];
  /** What must not be shown. */
  readonly secrets: readonly string[];
  readonly pacing: 'arrival' | 'timestamps';
  /** Until it settles nobody has called, and nothing is late; undefined for a source we call ourselves. */
  readonly called?: Promise<void>;
  /** ms without media after which it is given up; undefined: as long as it takes. May change while it is read. */
  silenceMs(): number | undefined;
  /** Why it cannot be read, where that is known better than FFmpeg tells. */
  failure(): InputError | undefined;
  /** What FFmpeg's regular end (code 0) means. @param lines FFmpeg's last */
  endOf(lines: readonly string[]): InputEnd;
  /** Lets go of everything it owns; may be called more than once. */
  close(): Promise<void>;
}
