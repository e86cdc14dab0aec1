/** Answers to a server's challenge: Basic (RFC 7617) and Digest (RFC 7616, and RFC 2069 as old cameras have it). Pure. */
import { createHash, randomBytes } from 'node:crypto';

export interface Credentials {
  username: string;
  password: string;
}

interface Challenge {
  scheme: 'basic' | 'digest';
  parameters: ReadonlyMap<string, string>;
}

const HASHES: Readonly<Record<string, string>> = { md5: 'md5', 'sha-256': 'sha256' };

export class HttpAuth {
  readonly #credentials: Credentials;
  readonly #cnonce: () => string;
  #challenge: Challenge | undefined;
  #count = 0;

  /** @param cnonce a client's nonce, new each time */
  constructor(credentials: Credentials, cnonce = (): string => randomBytes(8).toString('hex')) {
    this.#credentials = credentials;
    this.#cnonce = cnonce;
  }

  /**
   * Takes the `WWW-Authenticate` headers of a refusal.
   * @returns false when none of them can be answered
   */
  challenged(headers: readonly string[]): boolean {
    const known = headers.flatMap(parseChallenge);
    const strength = ({ scheme, parameters }: Challenge): number =>
      scheme === 'basic' ? 0 : hashOf(parameters) === 'sha256' ? 2 : 1;
    // The strongest of them (RFC 7616, 3.7); a password in the clear only where nothing else is offered.
    this.#challenge = known.sort((a, b) => strength(b) - strength(a))[0];
    this.#count = 0;
    return this.#challenge !== undefined;
  }

  /** The `Authorization` header of a request; undefined as long as nobody asked for one. */
  authorization(method: string, uri: string): string | undefined {
    const { username, password } = this.#credentials;
    if (!this.#challenge) return undefined;
    if (this.#challenge.scheme === 'basic')
      return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    return this.#digest(this.#challenge.parameters, method, uri);
  }

  #digest(challenge: ReadonlyMap<string, string>, method: string, uri: string): string {
    const { username, password } = this.#credentials;
    const hash = (text: string): string =>
      createHash(hashOf(challenge) ?? 'md5')
        .update(text)
        .digest('hex');
    const [realm, nonce] = [challenge.get('realm') ?? '', challenge.get('nonce') ?? ''];
    const algorithm = challenge.get('algorithm');
    const qop = (challenge.get('qop') ?? '').split(',').some((each) => each.trim() === 'auth');
    const cnonce = this.#cnonce();
    this.#count += 1;
    const count = this.#count.toString(16).padStart(8, '0');
    let secret = hash(`${username}:${realm}:${password}`);
    if (algorithm?.toLowerCase().endsWith('-sess')) secret = hash(`${secret}:${nonce}:${cnonce}`);
    const asked = hash(`${method}:${uri}`);
    const response = qop
      ? hash(`${secret}:${nonce}:${count}:${cnonce}:auth:${asked}`)
      : hash(`${secret}:${nonce}:${asked}`);
    const opaque = challenge.get('opaque');
    return [
      `Digest username="${username.replace(/["\\]/g, '\\$&')}", realm="${realm}", nonce="${nonce}"`,
      `uri="${uri}", response="${response}"`,
      ...(algorithm === undefined ? [] : [`algorithm=${algorithm}`]),
      ...(opaque === undefined ? [] : [`opaque="${opaque}"`]),
      ...(qop || algorithm?.toLowerCase().endsWith('-sess') ? [`cnonce="${cnonce}"`] : []),
      ...(qop ? [`qop=auth, nc=${count}`] : []),
    ].join(', ');
  }
}

function hashOf(parameters: ReadonlyMap<string, string>): string | undefined {
  const name = (parameters.get('algorithm') ?? 'md5').toLowerCase().replace(/-sess$/, '');
  return Object.hasOwn(HASHES, name) ? HASHES[name] : undefined;
}

/** None when its scheme, or its hash, is not known. Quoted values stay as they are written, to be repeated so. */
function parseChallenge(header: string): Challenge[] {
  const scheme = /^\s*(basic|digest)\b/i.exec(header)?.[1]?.toLowerCase();
  if (scheme !== 'basic' && scheme !== 'digest') return [];
  const pairs = header.matchAll(/([a-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi);
  const parameters = new Map(
    [...pairs].map(([, name = '', quoted, plain]) => [name.toLowerCase(), quoted ?? plain ?? '']),
  );
  if (scheme === 'digest' && (hashOf(parameters) === undefined || !parameters.has('nonce'))) return [];
  return [{ scheme, parameters }];
}
