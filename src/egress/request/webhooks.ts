/** The webhooks a request names for its own egress. Pure. */
import type { WebhookConfig } from '@livekit/protocol';
import { WEBHOOK_NAMES } from '../../webhooks/types.ts';
import { invalid } from './errors.ts';

/** Each is sent every change of the egress. */
const AT_MOST = 8;

/** @throws RequestError that shows nothing of a URL: it may hold a token anywhere. */
export function checkWebhooks(webhooks: readonly WebhookConfig[]): void {
  if (webhooks.length > AT_MOST) {
    throw invalid('webhooks', `${webhooks.length} are too many; a request may name ${AT_MOST}`);
  }
  for (const { url, filterParams } of webhooks) {
    const protocol = URL.parse(url)?.protocol;
    if (protocol !== 'http:' && protocol !== 'https:') {
      throw invalid('webhooks.url', 'it has to be a URL with http:// or https://');
    }
    for (const [field, events] of [
      ['include_events', filterParams?.includeEvents ?? []],
      ['exclude_events', filterParams?.excludeEvents ?? []],
    ] as const) {
      const unknown = events.find((event) => !WEBHOOK_NAMES.some((name) => name === event));
      if (unknown !== undefined) {
        const egress = WEBHOOK_NAMES.filter((name) => name.startsWith('egress_'));
        throw invalid(
          `webhooks.filter_params.${field}`,
          `"${unknown.slice(0, 64)}" is no event; an egress has ${egress.join(', ')}`,
        );
      }
    }
  }
}

/**
 * Keys are the server's: a request may only choose among them.
 * @throws RequestError
 */
export function checkSigningKeys(webhooks: readonly WebhookConfig[], known: ReadonlySet<string>): void {
  const unknown = webhooks.find(({ signingKey }) => signingKey !== '' && !known.has(signingKey));
  if (!unknown) return;
  throw invalid(
    'webhooks.signing_key',
    // Not repeated: who mixes up key and secret would find the secret in a log.
    "it is none of the server's API keys; leave it empty for the default one",
  );
}
