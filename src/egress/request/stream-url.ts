/** Stream destinations of StartEgress and UpdateStream. */
import { StreamProtocol } from '@livekit/protocol';
import { redactStreamUrl } from '../../redact.ts';
import { OutputError } from '../outputs/errors.ts';
import { parseTarget } from '../outputs/stream/target.ts';
import { invalid, unimplemented } from './errors.ts';

/** rtmp(s)://{host}(/{path})/{app}/{stream_key}( live=1), LiveKit's rule. */
const RTMP = /^rtmps?:\/\/[^/\s]+\/(?:[^\s]*\/)?[^/\s]+\/[^\s]*( live=1)?$/;
const RTMP_FORM = 'rtmp(s)://{host}(/{path})/{app}/{stream_key}( live=1)';

const MAX_URL_LENGTH = 4096;

const PROTOCOLS: Readonly<Record<string, string>> = {
  'srt:': 'an SRT destination (srt://)',
  'mux:': 'the short form mux://',
  'twitch:': 'the short form twitch://',
  'ws:': 'a WebSocket destination (ws://)',
  'wss:': 'a WebSocket destination (wss://)',
};

/**
 * A URL as an error may show it. One that is not of RTMP's form may have its key anywhere after the host.
 */
export function showStreamUrl(url: string): string {
  if (url.length <= MAX_URL_LENGTH && RTMP.test(url)) return redactStreamUrl(url);
  const parsed = URL.parse(url);
  return parsed ? `${parsed.protocol}//${parsed.host}/{...}` : '{...}';
}

/**
 * @param field for messages, e.g. `add_output_urls`.
 * @throws RequestError that shows the URL without its key.
 */
export function checkStreamUrl(field: string, url: string): void {
  const bad = (why: string) => invalid(field, `invalid url ${showStreamUrl(url)}: ${why}`);
  if (url.length > MAX_URL_LENGTH) throw bad(`longer than ${MAX_URL_LENGTH} characters`);
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(url)) throw bad('it holds a control character');
  const parsed = URL.parse(url.replace(/ live=1$/, ''));
  if (!parsed) throw bad(`rtmp urls must be of format ${RTMP_FORM}`);
  const missing = PROTOCOLS[parsed.protocol];
  if (missing !== undefined) throw unimplemented(field, missing, `use ${RTMP_FORM}`);
  if (parsed.protocol !== 'rtmp:' && parsed.protocol !== 'rtmps:') {
    throw bad(`invalid scheme "${parsed.protocol.slice(0, -1)}"; use ${RTMP_FORM}`);
  }
  if (!RTMP.test(url) || parsed.hostname === '') throw bad(`rtmp urls must be of format ${RTMP_FORM}`);
  try {
    parseTarget(url);
  } catch (error) {
    throw bad(error instanceof OutputError ? error.message : 'it cannot be used');
  }
}

/** @throws RequestError unless the protocol is RTMP, said or left open. */
export function checkStreamProtocol(protocol: StreamProtocol): void {
  switch (protocol) {
    case StreamProtocol.DEFAULT_PROTOCOL:
    case StreamProtocol.RTMP:
      return;
    case StreamProtocol.SRT:
    case StreamProtocol.WEBSOCKET:
      throw unimplemented('protocol', `stream protocol ${StreamProtocol[protocol]}`, 'use RTMP');
    default:
      throw invalid('protocol', `${String(protocol)} is not a stream protocol; use RTMP`);
  }
}
