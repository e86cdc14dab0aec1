/** Where a request would have us connect to, held to the outbound policy before anything is begun. */
import { RoomCompositeEgressRequest, StartEgressRequest, WebEgressRequest } from '@livekit/protocol';
import type { EgressPlan } from '../egress/plan/types.ts';
import { invalid } from '../egress/request/errors.ts';
import { reachedUrl, showStreamUrl } from '../egress/request/stream-url.ts';
import type { StartRequest } from '../egress/request/types.ts';
import type { Config } from '../config/index.ts';
import { GuardError } from '../outbound/index.ts';
import type { AddressPolicy } from '../outbound/index.ts';
import { requestedS3 } from '../storage/s3-settings.ts';
import { StorageError } from '../storage/types.ts';

/** What requests are held to. */
export interface OutboundRules {
  policy: AddressPolicy;
  /** The installation's own: its endpoint is trusted, and its keys are for that one alone. */
  storage: Pick<Config['storage'], 's3'> & Partial<Pick<Config['storage'], 'stsEndpoint'>>;
}

export interface NamedUrl {
  /** For messages, e.g. `s3.endpoint`. */
  field: string;
  url: string;
}

/**
 * A name that cannot be resolved (yet) passes: whoever connects checks again, and says so. What cannot be parsed
 * is somebody else's to refuse.
 * @throws RequestError for an address that may not be reached; it shows of the URL no more than its host
 */
export async function checkOutbound(urls: readonly NamedUrl[], policy: AddressPolicy): Promise<void> {
  await Promise.all(
    urls.map(async ({ field, url }) => {
      const hostname = URL.parse(url.replace(/ live=1$/, ''))?.hostname;
      if (!hostname) return;
      try {
        await policy.resolve(hostname);
      } catch (error) {
        if (!(error instanceof GuardError)) throw error;
        if (!error.retry) throw invalid(field, `${showStreamUrl(url)}: ${error.message}`);
      }
    }),
  );
}

/** URLs that stand in the request and not among the outputs and storages of its plan. */
export function requestUrls(request: StartRequest): NamedUrl[] {
  return [...request.webhooks.map(({ url }) => ({ field: 'webhooks.url', url })), ...pageUrls(request)];
}

/** The page a browser would be shown, when there is one. */
function pageUrls(request: StartRequest): NamedUrl[] {
  if (request instanceof WebEgressRequest) return [{ field: 'url', url: request.url }];
  if (request instanceof RoomCompositeEgressRequest) {
    return [{ field: 'custom_base_url', url: request.customBaseUrl }];
  }
  if (!(request instanceof StartEgressRequest)) return [];
  const { source } = request;
  if (source.case === 'web') return [{ field: 'web.url', url: source.value.url }];
  if (source.case === 'template') return [{ field: 'custom_base_url', url: source.value.customBaseUrl }];
  return [];
}

/**
 * Everywhere a plan leads to, held to the rules, and that its storages can be opened.
 * @param streamField what the request calls URLs of streams, for messages
 * @throws RequestError
 */
export async function checkPlanned(
  plan: Pick<EgressPlan, 'outputs' | 'storages'>,
  { policy, storage }: OutboundRules,
  streamField = 'urls',
): Promise<void> {
  await checkOutbound(plannedUrls(plan, storage.s3.endpoint, streamField), policy);
  for (const each of plan.storages) {
    if (each.type !== 's3') continue;
    try {
      requestedS3(each.s3, storage);
    } catch (error) {
      if (error instanceof StorageError) throw invalid('s3', error.message);
      throw error;
    }
  }
}

/** @param trustedEndpoint the configuration's own S3 endpoint; empty: AWS */
function plannedUrls(
  { outputs, storages }: Pick<EgressPlan, 'outputs' | 'storages'>,
  trustedEndpoint: string,
  streamField: string,
): NamedUrl[] {
  return [
    ...outputs.flatMap((output) =>
      output.type === 'stream'
        ? output.urls.map((url) => ({ field: streamField, url: reachedUrl(url) }))
        : [],
    ),
    ...storages.flatMap((storage) =>
      storage.type === 's3' && storage.s3.endpoint !== '' && storage.s3.endpoint !== trustedEndpoint
        ? [{ field: 's3.endpoint', url: storage.s3.endpoint }]
        : [],
    ),
    ...storages.flatMap((storage) =>
      storage.type === 's3' && storage.s3.proxy ? [{ field: 's3.proxy.url', url: storage.s3.proxy.url }] : [],
    ),
  ];
}
