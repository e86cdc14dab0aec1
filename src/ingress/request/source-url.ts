/** What a URL input pulls: which URLs are taken, and how they are shown. Pure. */
import { invalidIngress } from './errors.ts';

const MAX_URL_LENGTH = 4096;

/** SRT's own limits on a passphrase. */
const SRT_PASSPHRASE = { min: 10, max: 79 };

const SCHEMES = ['http', 'https', 'rtsp', 'rtsps', 'srt', 'file'];

/** Parameters that are nobody's secret. What any other holds is not shown: every vendor names tokens differently. */
const SHOWN_PARAMETER =
  /^(mode|latency|rcvlatency|peerlatency|transtype|maxbw|pbkeylen|tlpktdrop|connect_timeout|timeout|transport|loop|channel|subtype|stream|profile|videocodec|resolution|fps)$/i;
const SHOWN_VALUE = /^[\w.:-]{0,16}$/;

/** The standard wants a host before a port; SRT listeners are written without one: `srt://:9000?mode=listener`. */
function parse(url: string): URL | null {
  return URL.parse(url.replace(/^(srt:\/\/):/i, '$10.0.0.0:'));
}

/**
 * Without user, password, passphrase, stream id or token: `rtsp://{credentials}@10.0.0.4/stream1`,
 * `srt://host:9000?mode=caller&passphrase={...}`.
 */
export function redactSourceUrl(url: string): string {
  return (
    url
      // SRT's stream ids are written with their own # and =.
      .replace(/([?&]streamid=)[^&]+/i, '$1{...}')
      .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1{credentials}@')
      .replace(/([?&;#])([^=&;#]+)=([^&;#]*)/g, (whole: string, mark: string, name: string, value: string) =>
        value === '' || value === '{...}' || (SHOWN_PARAMETER.test(name) && SHOWN_VALUE.test(value))
          ? whole
          : `${mark}${name}={...}`,
      )
  );
}

/**
 * Whether it can be pulled at all; whether it may be is the guard's to say.
 * @throws RequestError
 */
export function checkSourceUrl(url: string): void {
  if (url === '') throw invalidIngress('missing URL parameter');
  if (url.length > MAX_URL_LENGTH) throw invalidIngress(`url is longer than ${MAX_URL_LENGTH} characters`);
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0020\u007f]/.test(url)) {
    throw invalidIngress('url holds a blank or a control character; write a blank as %20');
  }
  const parsed = parse(url);
  if (!parsed) throw invalidIngress('url cannot be parsed: rtsp://host:554/path would be one');
  const scheme = parsed.protocol.slice(0, -1);
  if (!SCHEMES.includes(scheme)) {
    throw invalidIngress(`invalid url scheme ${scheme}: ${SCHEMES.join(', ')} can be pulled`);
  }
  if (scheme === 'file') return checkFile(parsed);
  if (parsed.hostname === '') throw invalidIngress('url has no host');
  if (scheme === 'srt') checkSrt(parsed);
}

function checkFile({ host, pathname }: URL): void {
  // The standard takes `localhost` away.
  if (host !== '') throw invalidIngress('a file url has no host: file:///folder/file');
  if (pathname === '' || pathname.endsWith('/'))
    throw invalidIngress('a file url names a file: file:///folder/file');
}

function checkSrt({ port, searchParams }: URL): void {
  if (port === '') throw invalidIngress('an srt url needs a port: srt://host:9000');
  const mode = searchParams.get('mode') ?? 'caller';
  if (mode !== 'caller' && mode !== 'listener') {
    throw invalidIngress('mode of an srt url is caller (the default) or listener');
  }
  const { length } = searchParams.get('passphrase') ?? '';
  if (searchParams.has('passphrase') && (length < SRT_PASSPHRASE.min || length > SRT_PASSPHRASE.max)) {
    throw invalidIngress(
      `passphrase of an srt url has ${length} characters: SRT takes ${SRT_PASSPHRASE.min} to ${SRT_PASSPHRASE.max}`,
    );
  }
}
