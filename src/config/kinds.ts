/** The kinds of value a key may have: how each is written in YAML and in an environment variable. */
import { isIP } from 'node:net';
import { z } from 'zod';

/** One key: what it accepts, and how its errors speak. */
export interface KeySpec<T> {
  /** Takes the value from YAML, or the text of an environment variable. */
  readonly schema: z.ZodType<T>;
  /** Ends the sentence "must be …". */
  readonly allowed: string;
  /** The value is never shown, in no error and no log. */
  readonly secret: boolean;
  /** Turns an environment variable's text into what YAML would hold. Throws when it is not that. */
  readonly fromText: (text: string) => unknown;
}

interface Options {
  secret?: boolean;
}

function spec<T>(
  schema: z.ZodType<T>,
  allowed: string,
  fromText: (text: string) => unknown = (text) => text,
  options: Options = {},
): KeySpec<T> {
  return { schema, allowed, fromText, secret: options.secret ?? false };
}

const numberFromText = (text: string): unknown => (/^-?\d+$/.test(text) ? Number(text) : text);

const booleanFromText = (text: string): unknown =>
  text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text;

/** A whole number. */
export function integer(min: number, max: number, allowed = `a whole number from ${min} to ${max}`) {
  return spec(z.number().int().min(min).max(max), allowed, numberFromText);
}

/** A number, with decimals if need be. */
export function decimal(min: number, max: number) {
  return spec(z.number().min(min).max(max), `a number from ${min} to ${max}`, (text) =>
    /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : text,
  );
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** An amount of data; its value is in bytes. */
export function byteSize() {
  const size = z.union([z.string(), z.number()]).transform((value, context) => {
    const match = /^(\d+(?:\.\d+)?) ?([KMGT]iB|)$/.exec(String(value));
    const bytes = Math.round(Number(match?.[1]) * (SIZE_UNITS[match?.[2] ?? ''] ?? NaN));
    if (Number.isSafeInteger(bytes)) return bytes;
    context.addIssue({ code: 'custom', message: 'not a size' });
    return z.NEVER;
  });
  return spec(size, 'a size such as 1GiB, 512MiB or 100000 (bytes)');
}

/** A port; 0 lets the system choose. */
export function port() {
  return integer(0, 65535, 'a port from 1 to 65535, or 0 for any free one');
}

export function text(allowed: string, pattern = /^[^\0\s](?:[^\0]*[^\0\s])?$/, options: Options = {}) {
  return spec(z.string().regex(pattern), allowed, undefined, options);
}

export function flag() {
  return spec(z.boolean(), 'true or false', booleanFromText);
}

export function flagOrAuto() {
  return spec(z.union([z.boolean(), z.literal('auto')]), 'true, false or auto', booleanFromText);
}

export function oneOf<const T extends string>(values: readonly [T, ...T[]]) {
  return spec(z.enum(values), `one of ${values.join(', ')}`);
}

/** An address of this machine to listen on. mediasoup takes no names. */
export function listenAddress() {
  const schema = z
    .string()
    .transform((host) => (host === 'localhost' ? '127.0.0.1' : host.replace(/^\[(.*)\]$/, '$1')))
    .refine((host) => isIP(host) !== 0);
  return spec(schema, 'an IP address of this machine, localhost, or 0.0.0.0 or :: for all of them');
}

/** An IP address or a host name. */
export function address() {
  return text('an IP address or a host name', /^[A-Za-z0-9_]([A-Za-z0-9_.:%-]*[A-Za-z0-9_])?$|^::1?$/);
}

/** A URL with one of the given schemes. A URL may hold a password, so it is shown redacted by its key. */
export function url(schemes: readonly string[], options: Options = {}) {
  const allowed = `a URL that starts with ${schemes.map((s) => `${s}://`).join(' or ')}`;
  return spec(z.string().refine(isUrl(schemes)), allowed, undefined, options);
}

function isUrl(schemes: readonly string[]) {
  return (value: string): boolean =>
    schemes.includes(value.slice(0, Math.max(0, value.indexOf('://')))) && URL.canParse(value);
}

/** `40000-49999`. */
export function portRange() {
  const schema = z.string().transform((value, context) => {
    const match = /^(\d{1,5})\s*-\s*(\d{1,5})$/.exec(value);
    const min = Number(match?.[1]);
    const max = Number(match?.[2]);
    if (match && min >= 1 && min < max && max <= 65535) return { min, max };
    context.addIssue({ code: 'custom', message: 'not a range' });
    return z.NEVER;
  });
  return spec(schema, 'two ports with a dash, lower first, from 1 to 65535, such as 40000-49999');
}

/** HTTP URLs: a YAML list, or text with commas. URLs with commas in them belong in the file. */
export function httpUrls() {
  const list = z.array(z.string().refine(isUrl(['http', 'https'])));
  return spec(
    z.preprocess((value) => (typeof value === 'string' ? splitList(value) : value), list),
    'http:// or https:// URLs: a list, or text with commas between them',
    undefined,
    { secret: true },
  );
}

function splitList(value: string): string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Folders: a YAML list, or text with commas. Paths with commas in them belong in the file. */
export function paths() {
  const list = z.array(z.string().regex(/^[^\0]+$/));
  return spec(
    z.preprocess((value) => (typeof value === 'string' ? splitList(value) : value), list),
    'paths of folders: a list, or text with commas between them',
  );
}

/** `192.168.1.0/24`, or one address, which becomes a network of one. Host bits are allowed, as routers write them. */
const network = z.string().transform((value, context) => {
  const [, address = '', bits] = /^\[?([^/\]]+)\]?(?:\/(\d{1,3}))?$/.exec(value.trim()) ?? [];
  const most = isIP(address) === 6 ? 128 : 32;
  if (isIP(address) !== 0 && Number(bits ?? most) <= most) return `${address}/${Number(bits ?? most)}`;
  context.addIssue({ code: 'custom', message: 'not a network' });
  return z.NEVER;
});

/** Networks: a YAML list, or text with commas. */
export function networks() {
  return spec(
    z.preprocess((value) => (typeof value === 'string' ? splitList(value) : value), z.array(network)),
    'networks such as 192.168.1.0/24 or fd00::/8, or single IP addresses: a list, or text with commas between them',
  );
}

/** API keys: a map, or `key1:secret1,key2:secret2`. */
export function keyMap() {
  const map = z
    .record(z.string().regex(/^[^\s:,]+$/), z.string().regex(/^\S+$/))
    .refine((keys) => Object.keys(keys).length > 0);
  return spec(
    z.preprocess((value) => (typeof value === 'string' ? mapFromText(value) : value), map),
    'at least one API key with its secret, as text: a map, or key1:secret1,key2:secret2',
    mapFromText,
    { secret: true },
  );
}

/** `{"a":"b"}`, `a: b` or `a:b,c:d`; the text itself when it is none of them, which then fails validation. */
function mapFromText(value: string): unknown {
  if (value.trimStart().startsWith('{')) return jsonFromText(value);
  const entries: [string, string][] = [];
  for (const part of value.split(/[,\n]/)) {
    if (part.trim() === '') continue;
    const colon = part.indexOf(':');
    if (colon < 0) return value;
    entries.push([part.slice(0, colon).trim(), part.slice(colon + 1).trim()]);
  }
  const names = entries.map(([name]) => name);
  return new Set(names).size === names.length ? Object.fromEntries(entries) : value;
}

function jsonFromText(value: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}

const iceServer = z
  .strictObject({
    urls: z.preprocess(
      (value) => (typeof value === 'string' ? [value] : value),
      z.array(z.string().regex(/^(stuns?|turns?):[^\s]+$/)).min(1),
    ),
    username: z.string().min(1).optional(),
    credential: z.string().min(1).optional(),
    secret: z.string().min(1).optional(),
    ttl: z.number().int().min(60).max(604800).default(86400),
  })
  .refine((server) => (server.username === undefined) === (server.credential === undefined))
  .refine((server) => server.secret === undefined || server.username === undefined)
  .refine(
    (server) =>
      !server.urls.some((u) => u.startsWith('turn')) || (server.secret ?? server.username) !== undefined,
  );

/** A YAML list, or JSON in the environment. */
export function iceServers() {
  return spec(
    z.array(iceServer),
    'a list of servers (JSON in the environment), each with urls (stun:, stuns:, turn: or turns:) and, for TURN, ' +
      'either username and credential, or secret (and ttl, 60 to 604800 seconds)',
    jsonFromText,
    { secret: true },
  );
}
