/** `sluice token create`. */
import { createAccessToken } from '../auth/token.ts';
import { loadConfig } from '../config/index.ts';

export interface TokenOptions {
  room: string;
  identity: string;
  publish: boolean;
  subscribe: boolean;
  hidden: boolean;
  recorder: boolean;
  name?: string;
  metadata?: string;
  /** e.g. `6h`. */
  ttl: string;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of `90s`, `15m`, `6h`, `7d`. @throws Error saying what is allowed. */
export function parseTtl(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const scale = unit === undefined ? undefined : UNIT_SECONDS[unit];
  const seconds = Number(amount) * (scale ?? NaN);
  if (!(seconds > 0)) {
    throw new Error(`--ttl ${JSON.stringify(text)} is not a time: allowed are 90s, 15m, 6h, 7d and the like`);
  }
  return seconds;
}

/** A token signed with the first of the configured keys. @throws Error, ConfigError */
export async function createTokenFor(
  options: TokenOptions,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const config = loadConfig({ env, argv: process.argv });
  const [key, secret] = Object.entries(config.keys)[0] ?? [];
  if (key === undefined || secret === undefined) throw new Error('no API key is configured: set keys');
  return createAccessToken({
    key,
    secret,
    identity: options.identity,
    ...(options.name !== undefined && { name: options.name }),
    ...(options.metadata !== undefined && { metadata: options.metadata }),
    ttl: parseTtl(options.ttl),
    grants: {
      roomJoin: true,
      room: options.room,
      canPublish: options.publish,
      canSubscribe: options.subscribe,
      hidden: options.hidden,
      recorder: options.recorder,
    },
  });
}
