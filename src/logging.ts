/** The log: pino, one line an event, pretty on a terminal, without secrets. */
import { pino, stdSerializers } from 'pino';
import type { DestinationStream, Logger } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from './config/index.ts';
import { redactText, redactUrl } from './redact.ts';

/** Names under which secrets travel in the objects we log, at the top and one or two levels down. */
const SECRET_NAMES = [
  'accessKey',
  'authorization',
  'credential',
  'keys',
  'password',
  'requestJson',
  'secret',
  'secretAccessKey',
  'sessionToken',
  'streamKey',
  'token',
  'access_key',
  'session_token',
  'stream_key',
];

const REDACTED_PATHS = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

export interface LoggerOptions {
  /** Part of the service the lines come from: `server`, `worker`, `sfu`, ... */
  component?: string;
  /** Where lines go; default: standard output. */
  destination?: DestinationStream;
}

/** The root logger of a process. Parts take `logger.child({ roomName, egressId, … })` of it. */
export function createLogger(
  config: Pick<Config, 'log'>,
  { component, destination }: LoggerOptions = {},
): Logger {
  const options = {
    level: config.log.level,
    base: component === undefined ? {} : { component },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: REDACTED_PATHS, censor: '{redacted}' },
    serializers: {
      err: redactedError,
      error: redactedError,
      url: redactedValue,
      urls: redactedValue,
      bridgeUrl: redactedValue,
      streamUrls: redactedValue,
      stderr: redactedLines,
      args: redactedLines,
    },
    hooks: {
      logMethod(this: Logger, args: Parameters<Logger['info']>, method: Logger['info']): void {
        method.apply(this, withRedactedMessage(args) as typeof args);
      },
    },
  };
  if (destination !== undefined) return pino(options, destination);
  const wantsPretty = config.log.pretty === 'auto' ? process.stdout.isTTY : config.log.pretty;
  if (!wantsPretty) return pino(options);
  return pino(
    options,
    pretty({
      colorize: process.stdout.isTTY,
      sync: true,
      ignore: 'component',
      messageFormat: '{if component}{component}: {end}{msg}',
      translateTime: 'SYS:HH:MM:ss.l',
      singleLine: true,
    }),
  );
}

/** Messages are ours, but they may carry the text of somebody else's error; without one pino takes the error's own. */
function withRedactedMessage(args: readonly unknown[]): unknown[] {
  const [first, ...rest] = args.map((arg) => (typeof arg === 'string' ? redactText(arg) : arg));
  if (rest.length > 0) return [first, ...rest];
  if (first instanceof Error) return [{ err: first }, redactText(first.message)];
  if (typeof first === 'object' && first !== null && 'err' in first && first.err instanceof Error) {
    return [first, redactText(first.err.message)];
  }
  return [first];
}

function redactedError(error: unknown): unknown {
  if (!(error instanceof Error)) return redactedLines(error);
  const serialized: Record<string, unknown> = { ...stdSerializers.err(error) };
  for (const [name, value] of Object.entries(serialized)) {
    if (typeof value === 'string') serialized[name] = redactText(value);
  }
  return serialized;
}

function redactedValue(value: unknown): unknown {
  if (typeof value === 'string') return redactUrl(value);
  if (Array.isArray(value)) return value.map(redactedValue);
  return value;
}

function redactedLines(value: unknown): unknown {
  if (typeof value === 'string') return redactText(value);
  if (Array.isArray(value)) return value.map(redactedLines);
  return value;
}
