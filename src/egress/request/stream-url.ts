/** Stream destinations of StartEgress and UpdateStream. */
import { StreamProtocol } from '@livekit/protocol';
import { redactStreamUrl } from '../../redact.ts';
import { OutputError } from '../outputs/errors.ts';
import { parseTarget } from '../outputs/stream/target.ts';
import type { StreamOutput } from '../plan/types.ts';
import { invalid } from './errors.ts';

type Protocol = StreamOutput['protocol'];

/** rtmp(s)://{host}(/{path})/{app}/{stream_key}( live=1), LiveKit's rule. */
const RTMP = /^rtmps?:\/\/[^/\s]+\/(?:[^\s]*\/)?[^/\s]+\/[^\s]*( live=1)?$/;
const SHORT = /^(mux|twitch):\/\/[^\s/]+$/;
const RTMP_FORM = 'rtmp(s)://{host}(/{path})/{app}/{stream_key}( live=1)';
/** What a URL has to look like, by its scheme. */
const FORMS: Readonly<Record<string, string>> = {
  'rtmp:': RTMP_FORM,
  'rtmps:': RTMP_FORM,
  'mux:': 'mux://{stream_key}',
  'twitch:': 'twitch://{stream_key}',
  'srt:': 'srt://{host}:{port}(?streamid=…&passphrase=…&latency=…)',
};
const ALL_FORMS = [...new Set(Object.values(FORMS))].join(', ');
/** Schemes of each protocol a request may name. */
const SCHEMES: Readonly<Record<Exclude<Protocol, 'websocket'>, readonly string[]>> = {
  rtmp: ['rtmp:', 'rtmps:', 'mux:', 'twitch:'],
  srt: ['srt:'],
};

const MAX_URL_LENGTH = 4096;

/**
 * A URL as an error may show it. One that is not of a form we know may have its key anywhere after the scheme.
 */
export function showStreamUrl(url: string): string {
  if (url.length <= MAX_URL_LENGTH && (RTMP.test(url) || SHORT.test(url))) return redactStreamUrl(url);
  const parsed = URL.parse(url);
  if (!parsed) return '{...}';
  return SHORT.test(`${parsed.protocol}//key`)
    ? `${parsed.protocol}//{...}`
    : `${parsed.protocol}//${parsed.host}/{...}`;
}

/** What is wrong with any URL, before its form is looked at. */
function wrongText(url: string): string | undefined {
  if (url.length > MAX_URL_LENGTH) return `longer than ${MAX_URL_LENGTH} characters`;
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(url)) return 'it holds a control character';
  return undefined;
}

/**
 * @param field for messages, e.g. `add_output_urls`.
 * @param protocol the one the request names; without it, any but a WebSocket.
 * @throws RequestError that shows the URL without its key.
 */
export function checkStreamUrl(field: string, url: string, protocol?: 'rtmp' | 'srt'): void {
  const bad = (why: string) => invalid(field, `invalid url ${showStreamUrl(url)}: ${why}`);
  const wrong = wrongText(url);
  if (wrong !== undefined) throw bad(wrong);
  const scheme = URL.parse(url.replace(/ live=1$/, ''))?.protocol;
  if (scheme === undefined) throw bad(`rtmp urls must be of format ${RTMP_FORM}`);
  if (scheme === 'ws:' || scheme === 'wss:') {
    throw bad('a WebSocket takes the sound of a track: use StartTrackEgress with websocket_url');
  }
  const form = FORMS[scheme];
  if (form === undefined) throw bad(`invalid scheme "${scheme.slice(0, -1)}"; use ${ALL_FORMS}`);
  if (protocol !== undefined && !SCHEMES[protocol].includes(scheme)) {
    throw bad(`it is no ${protocol.toUpperCase()} destination; leave protocol empty to use several`);
  }
  const rtmp = scheme === 'rtmp:' || scheme === 'rtmps:';
  if (rtmp && !RTMP.test(url)) throw bad(`rtmp urls must be of format ${form}`);
  try {
    parseTarget(url);
  } catch (error) {
    throw bad(error instanceof OutputError ? error.message : 'it cannot be used');
  }
}

/** @throws RequestError that shows of the URL no more than its host. */
export function checkWebSocketUrl(field: string, url: string): void {
  const wrong = wrongText(url);
  const parsed = URL.parse(url);
  const fits = /^wss?:$/.test(parsed?.protocol ?? '') && parsed?.hostname !== '' && parsed?.hash === '';
  if (wrong === undefined && fits) return;
  const why = wrong ?? 'a stream of protocol WEBSOCKET goes to ws://host/path or wss://host/path';
  throw invalid(field, `invalid url ${showStreamUrl(url)}: ${why}`);
}

/** Where a stream leads: its URL, or that of the service its short form stands for. */
export function reachedUrl(url: string): string {
  return SHORT.test(url) ? `rtmps://${parseTarget(url).host}` : url;
}

/** @returns undefined when the request leaves it open. @throws RequestError for what is no protocol. */
export function streamProtocol(protocol: StreamProtocol): Protocol | undefined {
  switch (protocol) {
    case StreamProtocol.DEFAULT_PROTOCOL:
      return undefined;
    case StreamProtocol.RTMP:
      return 'rtmp';
    case StreamProtocol.SRT:
      return 'srt';
    case StreamProtocol.WEBSOCKET:
      return 'websocket';
    default:
      throw invalid('protocol', `${String(protocol)} is not a stream protocol; use RTMP, SRT or WEBSOCKET`);
  }
}
