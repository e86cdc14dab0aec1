/** An IP camera. */
import { plainHost } from '../../../outbound/index.ts';
import { LIVE_ANALYSIS } from './arguments.ts';
import type { Credentials } from './http-auth.ts';
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
    url: cameraUrl(plan.url),
    credentials: credentialsOf(plan.url),
  });
  return {
    options: [
      ...['-protocol_whitelist', 'tcp,udp,rtp', '-rtsp_transport', plan.transport],
      ...['-allowed_media_types', 'video+audio', '-timeout', String(SOCKET_MS * 1000)],
      ...LIVE_ANALYSIS,
    ],
    url: relay.url,
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

/** As the camera is asked for it; credentials go into headers. */
function cameraUrl({ protocol, host, pathname, search }: URL): string {
  return `${protocol}//${host}${pathname}${search}`;
}

function credentialsOf({ username, password }: URL): Credentials | undefined {
  return username === '' ? undefined : { username: plain(username), password: plain(password) };
}

/** A lone percent sign stands for itself. */
function plain(written: string): string {
  try {
    return decodeURIComponent(written);
  } catch {
    return written;
  }
}
