/** Takes stream keys and credentials out of URLs and text before they are shown or logged. Pure. */

/** `abcdef-ghij` -> `{abc...hij}`: as much of both ends as may be shown (LiveKit's rule). */
export function redactIdentifier(identifier: string): string {
  const shown = Math.min(3, Math.floor(identifier.length / 3));
  return shown === 0 ? '{...}' : `{${identifier.slice(0, shown)}...${identifier.slice(-shown)}}`;
}

/** rtmp(s)://{host}(/{path})/{app}/{stream_key}( live=1), as LiveKit reads it: the key is what follows the last slash. */
const RTMP = /^(rtmps?:\/\/)(.*\/)(.*\/)(\S*)( live=1)?$/i;

/** `mux://KEY` and `twitch://KEY`, LiveKit's short forms. */
const KEY_ONLY = /^((?:mux|twitch):\/\/)(\S*)$/i;

/** Parameters that are, or hold, credentials. */
const SECRET_PARAMETER =
  /^(access_?token|api_?key|auth|authorization|credential|jwt|key|pass|passphrase|passwd|password|pwd|secret|sig|signature|srt_streamid|stream_?id|stream_?key|token|x-amz-(credential|security-token|signature))$/i;

/**
 * A stream destination as LiveKit shows it in EgressInfo: `rtmp://host/app/{abc...xyz}`. SRT's streamid and passphrase
 * are redacted the same way. What has no key stays as it is.
 */
export function redactStreamUrl(url: string): string {
  const rtmp = RTMP.exec(url);
  if (rtmp) {
    const [, scheme = '', host = '', app = '', key = '', live = ''] = rtmp;
    return `${scheme}${redactParts(host + app)}${redactIdentifier(key)}${live}`;
  }
  const srt = /^(srt:\/\/[^?]*\?)(.*)$/is.exec(url);
  if (srt) {
    const [, base = '', query = ''] = srt;
    return redactParts(base) + query.split('&').map(redactPair).join('&');
  }
  const short = KEY_ONLY.exec(url);
  if (short) return `${short[1] ?? ''}${redactIdentifier(short[2] ?? '')}`;
  return redactParts(url);
}

/** Any URL without its user, password, stream key and secret parameters. */
export function redactUrl(url: string): string {
  return redactStreamUrl(url);
}

/** Text (FFmpeg's last lines, an error's message) with every URL in it redacted. */
export function redactText(text: string): string {
  return text.replace(/\b[a-z][a-z0-9+.-]*:\/\/[^\s'"<>|]+/gi, (url) => {
    const [, body = url, tail = ''] = /^(.*?)([),.;:\]]*)$/s.exec(url) ?? [];
    return redactUrl(body) + tail;
  });
}

/** Shorter secrets are words of any text, characters. */
const SHORTEST_SECRET = 6;

/**
 * What is secret in a URL, its password and the values of secret parameters, as it is written there and as it is
 * meant: for text that may quote it without the rest of the URL.
 * @throws TypeError when it is no URL
 */
export function secretsOf(url: string): string[] {
  const { search, password } = new URL(url);
  const values = search
    .slice(1)
    .split('&')
    .map(
      (pair) => [pair.slice(0, Math.max(0, pair.indexOf('='))), pair.slice(pair.indexOf('=') + 1)] as const,
    )
    .flatMap(([name, value]) => (SECRET_PARAMETER.test(name) ? [value] : []));
  const meant = (value: string) => new URLSearchParams(`value=${value}`).get('value') ?? '';
  const secrets = new Set([...values, password].flatMap((value) => [value, meant(value)]));
  return [...secrets].filter(({ length }) => length >= SHORTEST_SECRET);
}

/** A parameter of SRT's: stream ids are written with their own `#`, `=` and `?`. */
function redactPair(pair: string): string {
  const at = pair.indexOf('=');
  const name = pair.slice(0, at);
  const value = pair.slice(at + 1);
  return at > 0 && value !== '' && SECRET_PARAMETER.test(name) ? `${name}=${redactIdentifier(value)}` : pair;
}

/** User info, and the values of parameters that are secret (also where a path follows them, as RTMP apps have it). */
function redactParts(url: string): string {
  return url
    .replace(/^((?:[a-z][a-z0-9+.-]*:\/\/)?)[^/?#]*@/i, '$1{credentials}@')
    .replace(/([?&;#])([^=&;#/]+)=([^&;#/]*)/g, (whole: string, mark: string, name: string, value: string) =>
      SECRET_PARAMETER.test(name) && value !== '' ? `${mark}${name}=${redactIdentifier(value)}` : whole,
    );
}
