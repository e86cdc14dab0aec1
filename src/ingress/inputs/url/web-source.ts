/** A media file or HLS over http and https, through the guard's proxy. */
import type { GuardError } from '../../../outbound/index.ts';
import { startGuardProxy } from '../../../outbound/index.ts';
import { InputError } from '../types.ts';
import { WEB_FORMATS } from './arguments.ts';
import type { UrlPlan } from './plan.ts';
import { brokeOff } from './reasons.ts';
import type { Source, SourceContext } from './source.ts';

/** A live playlist gets a new segment every target duration; so many that do not come are its end. */
const MISSING_SEGMENTS = 3;
const MIN_SILENCE_MS = 8000;
const MAX_SILENCE_MS = 40_000;
const READ_TIMEOUT_MS = 10_000;

/** @throws GuardError */
export async function openWebSource(
  plan: UrlPlan & { kind: 'web' },
  context: SourceContext,
): Promise<Source> {
  // Asked once before anything is started, for the clearest answer.
  await context.guard.resolve(plan.url.hostname);
  const proxy = await startGuardProxy({
    ...{ guard: context.guard, url: plan.url, logger: context.logger },
    anyCertificate: plan.certificate === 'any',
  });
  return {
    options: [
      ...['-protocol_whitelist', 'http,tcp,crypto', '-format_whitelist', WEB_FORMATS],
      ...['-user_agent', 'sluice', '-rw_timeout', String(READ_TIMEOUT_MS * 1000)],
      ...['-reconnect', '1', '-reconnect_delay_max', '4'],
      ...(plan.loop ? ['-stream_loop', '-1'] : []),
    ],
    url: proxy.entryUrl,
    env: { http_proxy: proxy.proxyUrl },
    secrets: [...secretsOf(plan.url), proxy.proxyUrl],
    pacing: 'timestamps',
    silenceMs() {
      if (proxy.playlist !== 'live') return undefined;
      const missing = MISSING_SEGMENTS * proxy.targetSeconds * 1000;
      return Math.min(MAX_SILENCE_MS, Math.max(MIN_SILENCE_MS, missing));
    },
    failure: () => proxy.failure && inputError(proxy.failure),
    endOf(lines) {
      if (proxy.playlist === 'live') return { type: 'lost', reason: 'the live stream stopped' };
      return brokeOff(lines) ? { type: 'lost', reason: 'the connection broke off' } : { type: 'complete' };
    },
    close: () => proxy.close(),
  };
}

export function inputError({ message, retry, cause }: GuardError): InputError {
  return new InputError(message, { retry, cause });
}

/** User name, password, and both as they are written in a URL. */
export function secretsOf({ username, password }: URL): string[] {
  const plain = [password, username && password && `${username}:${password}`].filter((text) => text !== '');
  return [...plain, ...plain.map((text) => decodeURIComponent(text))];
}
