/** Opens the pages that egresses record. */
import type { Logger } from 'pino';
import { ParticipantInfo_Kind } from '@livekit/protocol';
import { createAccessToken } from '../auth/token.ts';
import type { Config } from '../config/types.ts';
import type { PageFactory, PageRequest } from '../egress/page-source.ts';
import type { AddressPolicy } from '../outbound/index.ts';
import { WebSource, serverUrlOf, sweepWorkspaces, templateUrl } from '../web-source/index.ts';

/** A template may connect again while it is recorded; LiveKit's recorders have theirs as long. */
const TOKEN_SECONDS = 24 * 3600;

export interface PageOptions {
  config: Pick<Config, 'egress' | 'rtc'>;
  key: string;
  secret: string;
  policy: AddressPolicy;
  /** Processes that cost what they cost for this egress. */
  onProcesses: (request: PageRequest, pids: readonly number[]) => void;
  logger: Logger;
}

export function pageFactory(options: PageOptions): PageFactory {
  const { config, policy, onProcesses, logger: root } = options;
  const { web } = config.egress;
  return async (request) => {
    const { plan, record, attempt, onEnd, onFailure, onFatal } = request;
    const { source, video } = plan;
    const logger = root.child({ egressId: plan.egressId, attempt });
    const template = source.type === 'room';
    const serverUrl = web.serverUrl ?? serverUrlOf(record.bridgeUrl);
    const url = source.type === 'web' ? source.url : await templateAddress(request, serverUrl, options);
    if (url === undefined) throw new TypeError('this egress has no page');
    // What a worker that was killed has left is nobody's.
    await sweepWorkspaces(logger);
    // Where one records already, nobody waits for what was said in an earlier attempt.
    const begun = record.epochMs !== undefined;
    return new WebSource({
      ...{ program: web.chromium, url, policy, onEnd, onFailure, onFatal, logger },
      size: video ? { width: video.width, height: video.height } : AUDIO_ONLY_SIZE,
      sound: plan.audio !== null,
      awaitStartSignal: !begun && (template || (source.type === 'web' && source.awaitStartSignal)),
      loadTimeoutMs: web.loadTimeoutMs,
      startTimeoutMs: web.startTimeoutMs,
      trusted: template ? trustedHosts(serverUrl, config.rtc) : [],
      onProcesses: (pids) => onProcesses(request, pids),
    });
  };
}

/** A page that is only heard lays itself out all the same. */
const AUDIO_ONLY_SIZE = { width: 1280, height: 720 };

async function templateAddress(
  { plan, layout }: PageRequest,
  serverUrl: string,
  { key, secret }: PageOptions,
): Promise<string | undefined> {
  const { source, roomName, egressId } = plan;
  if (source.type !== 'room' || source.customBaseUrl === undefined) return undefined;
  const token = await createAccessToken({
    ...{ key, secret, ttl: TOKEN_SECONDS, kind: ParticipantInfo_Kind.EGRESS },
    // The egress has the room's seat of its own name already: through it the worker hears of the room's end.
    identity: `${egressId}_page`,
    grants: {
      ...{ roomJoin: true, room: roomName, canPublish: false, canSubscribe: true },
      ...{ hidden: true, recorder: true },
    },
  });
  return templateUrl({
    ...{ baseUrl: source.customBaseUrl, serverUrl, token, room: roomName },
    layout: layout ?? source.templateLayout ?? source.layout,
  });
}

/** The server itself, by HTTP and by ICE over TCP, which is what WebRTC does through a proxy. */
function trustedHosts(serverUrl: string, { announcedAddress, tcpPort, workers }: Config['rtc']): string[] {
  const { hostname, port, protocol } = new URL(serverUrl);
  const http = `${hostname}:${port || (protocol === 'wss:' || protocol === 'https:' ? '443' : '80')}`;
  const media = [hostname, ...(announcedAddress === undefined ? [] : [announcedAddress])].flatMap((host) =>
    Array.from({ length: workers }, (_, index) => `${host}:${tcpPort + index}`),
  );
  return [http, ...media];
}
