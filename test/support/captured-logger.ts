/** A logger whose lines a test can search. */
import { pino } from 'pino';
import type { Logger } from 'pino';

/** At level trace: what must not be logged must not be logged there either. @returns its lines, as they come */
export function capturedLogger(): { logger: Logger; logged: string[] } {
  const logged: string[] = [];
  return { logged, logger: pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) }) };
}
