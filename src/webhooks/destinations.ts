/** Where an event goes. Pure. */
import type { WebhookConfig } from '@livekit/protocol';

export interface Destination {
  /** May hold credentials: redact before it is shown. */
  readonly url: string;
  /** Name of the API key whose secret signs. */
  readonly apiKey: string;
  /** Whether a request named it: then it is held to the outbound policy. */
  readonly checked: boolean;
}

/**
 * The configured URLs, and those of the request whose filter lets the event through, each once.
 *
 * @param defaultKey signs where the request names no key.
 */
export function destinationsOf(
  event: string,
  configured: readonly string[],
  extra: readonly WebhookConfig[],
  defaultKey: string,
): Destination[] {
  const all = [
    // First: a URL that is configured is trusted, whoever else names it.
    ...configured.map((url) => ({ url, apiKey: defaultKey, checked: false })),
    ...extra
      .filter(({ url, filterParams }) => url !== '' && passes(event, filterParams))
      .map(({ url, signingKey }) => ({ url, apiKey: signingKey || defaultKey, checked: true })),
  ];
  const seen = new Map<string, Destination>();
  for (const destination of all) {
    const id = `${destination.apiKey} ${destination.url}`;
    if (!seen.has(id)) seen.set(id, destination);
  }
  return [...seen.values()];
}

/** `includeEvents`, when there are any, names all that pass; of these `excludeEvents` do not. */
function passes(event: string, filter: WebhookConfig['filterParams']): boolean {
  if (filter === undefined) return true;
  if (filter.includeEvents.length > 0 && !filter.includeEvents.includes(event)) return false;
  return !filter.excludeEvents.includes(event);
}
