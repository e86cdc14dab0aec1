/** An IP camera. */
import { plainHost } from '../../../outbound/index.ts';
import { LIVE_ANALYSIS } from './arguments.ts';
import type { UrlPlan } from './plan.ts';
import { RtspRelay } from './rtsp-relay.ts';
import type { Source, SourceContext } from './source.ts';
import { secretsOf } from './web-source.ts';

/** A camera that says nothing for so long is dead. */
const SILENCE_MS = 5000;
/** FFmpeg's own patience is longer, so that our reason is told. */
const SOCKET_MS = 8000;

/** @throws GuardError */
export async function openRtspSource(
  plan: UrlPlan & { kind: 'rtsp' },
  context: SourceContext,
): Promise<Source> {
  const { guard, logger } = context;
  const host = plainHost(plan.url.hostname);
  await guard.resolve(host);
  const relay = await RtspRelay.open({
    ...{ guard, logger, host, port: plan.port },
    tls: plan.tls ? plan.certificate : 'none',
  });
  const { username, password, pathname, search } = plan.url;
  const credentials = username === '' ? '' : `${username}:${password}@`;
  return {
    options: [
      ...['-protocol_whitelist', 'tcp,udp,rtp', '-rtsp_transport', plan.transport],
      ...['-allowed_media_types', 'video+audio', '-timeout', String(SOCKET_MS * 1000)],
      ...LIVE_ANALYSIS,
    ],
    url: `rtsp://${credentials}127.0.0.1:${relay.port}${pathname}${search}`,
    secrets: secretsOf(plan.url),
    pacing: 'arrival',
    silenceMs: () => SILENCE_MS,
    failure: () => relay.failure,
    endOf: () => ({ type: 'lost', reason: 'the camera ended the stream' }),
    close() {
      relay.close();
      return Promise.resolve();
    },
  };
}
