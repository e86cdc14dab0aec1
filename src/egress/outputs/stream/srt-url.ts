/** What an SRT URL says behind its host, as options of FFmpeg's (pure). Times are ms in the URL, as SRT's own tools have it. */
import { unsupportedUrl } from './unsupported.ts';

/** SRT's own bounds, characters (libsrt: SRTO_PASSPHRASE, SRTO_STREAMID). */
const PASSPHRASE = { min: 10, max: 79 };
const STREAM_ID_MAX = 512;
const MAX_LATENCY_MS = 30_000;

const KNOWN = ['mode', 'transtype', 'passphrase', 'pbkeylen', 'streamid', 'latency'];

/** Without an answer, SRT gives up after this, ms. */
const CONNECT_MS = 5000;

/**
 * @param host with its port
 * @throws OutputError for a URL that is not that of a caller, or has parameters we do not know
 */
export function srtOptions(host: string, path: string, query: string): Record<string, string> {
  if (!/:\d+$/.test(host)) throw unsupportedUrl('an srt url needs a host and a port: srt://{host}:{port}');
  if (path !== '' && path !== '/')
    throw unsupportedUrl('an srt url has no path: what would be one goes into streamid');
  const given = new Map<string, string>();
  for (const [name, value] of parametersOf(query)) {
    if (!KNOWN.includes(name))
      throw unsupportedUrl(`an srt url takes the parameters ${KNOWN.join(', ')}, and one of these is none`);
    given.set(name, value);
  }
  const mode = given.get('mode') ?? 'caller';
  if (mode !== 'caller') throw unsupportedUrl('mode of an srt url is caller: nobody is let in');
  if ((given.get('transtype') ?? 'live') !== 'live') throw unsupportedUrl('transtype of an srt url is live');
  const options: Record<string, string> = {
    mode,
    transtype: 'live',
    connect_timeout: String(CONNECT_MS),
  };
  const passphrase = given.get('passphrase') ?? '';
  if (passphrase !== '') {
    if (passphrase.length < PASSPHRASE.min || passphrase.length > PASSPHRASE.max) {
      throw unsupportedUrl(
        `passphrase of an srt url has ${passphrase.length} characters: SRT takes ${PASSPHRASE.min} to ${PASSPHRASE.max}`,
      );
    }
    options.passphrase = passphrase;
  }
  const keyLength = given.get('pbkeylen');
  if (keyLength !== undefined) {
    if (!['0', '16', '24', '32'].includes(keyLength))
      throw unsupportedUrl('pbkeylen of an srt url is 16, 24 or 32');
    if (keyLength !== '0') options.pbkeylen = keyLength;
  }
  const streamId = given.get('streamid') ?? '';
  if (Buffer.byteLength(streamId) > STREAM_ID_MAX)
    throw unsupportedUrl(`streamid of an srt url is longer than ${STREAM_ID_MAX} bytes`);
  if (streamId !== '') options.srt_streamid = streamId;
  const latency = given.get('latency');
  if (latency !== undefined) {
    const ms = Number(latency);
    if (!/^\d+$/.test(latency) || ms > MAX_LATENCY_MS)
      throw unsupportedUrl(`latency of an srt url is a number of milliseconds, 0 to ${MAX_LATENCY_MS}`);
    // FFmpeg counts microseconds.
    options.latency = String(ms * 1000);
  }
  return options;
}

/** Stream ids are written with their own `#` and `=` (SRT access control: `#!::r=live,m=publish`), encoded or not. */
function parametersOf(query: string): [string, string][] {
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const at = pair.indexOf('=');
      const [name, value] = at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
      return [name.toLowerCase(), decoded(value)];
    });
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
