/**
 * How a URL is written for FFmpeg when it goes through the guard's proxy: always plain `http:`. The proxy speaks TLS
 * itself, so that it sees playlists and redirects, and FFmpeg needs no other protocol than http and tcp. Pure.
 */
import { isIP } from 'node:net';
import { GuardError } from './errors.ts';

/** A host with this label in front is reached over TLS. A subdomain, so that cookies of the domain still fit. */
const TLS_LABEL = 'sluice-tls.';

/** Where FFmpeg begins: the proxy leads it on to the source, whose URL is so in no command line. */
export const ENTRY_HOST = 'sluice-source.invalid';

/** @throws GuardError for what is neither http nor https */
export function proxiedUrl(url: URL): URL {
  if (url.protocol === 'http:') return url;
  if (url.protocol !== 'https:') {
    throw new GuardError(`${url.protocol} may not be read from a web source: only http and https`);
  }
  const proxied = new URL(url.href.replace(/^https:/, 'http:'));
  proxied.hostname = `${TLS_LABEL}${named(url.hostname)}`;
  // Port 80 would be taken for http's own and left out; it cannot be told from none then.
  proxied.port = url.port === '' ? '443' : url.port;
  if (proxied.port === '') throw new GuardError('https on port 80 is not supported');
  return proxied;
}

/** The real URL behind one that {@link proxiedUrl} made. */
export function realUrl(proxied: URL): URL {
  if (!proxied.hostname.startsWith(TLS_LABEL)) return new URL(proxied);
  const host = unnamed(proxied.hostname.slice(TLS_LABEL.length));
  const { username, password, port, pathname, search } = proxied;
  const real = new URL(`https://${host}${pathname}${search}`);
  real.port = port;
  real.username = username;
  real.password = password;
  return real;
}

/** An address cannot stand behind a label: `127-0-0-1.ip4.invalid`, `fd00--1.ip6.invalid`. */
function named(hostname: string): string {
  const host = hostname.replace(/^\[|\]$/g, '');
  const family = isIP(host);
  return family === 0 ? host : `${host.replace(/[.:]/g, '-')}.ip${family}.invalid`;
}

function unnamed(host: string): string {
  const [, label = '', family] = /^([0-9a-f-]+)\.ip([46])\.invalid$/.exec(host) ?? [];
  if (family === undefined) return host;
  return family === '4' ? label.replaceAll('-', '.') : `[${label.replaceAll('-', ':')}]`;
}
