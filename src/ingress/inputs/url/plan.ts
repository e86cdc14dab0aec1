/** What a URL asks for: its parts, its parameters, and our own options in its fragment. Pure. */
import { InputError } from '../types.ts';

/** Behind `#`, joined by `&`: `#loop`, `#transport=udp`, `#certificate=any`. */
export interface UrlOptions {
  /** Files on the web and here: again from the beginning, without end. */
  loop: boolean;
  /** RTSP: how media comes. */
  transport: 'tcp' | 'udp';
  /** https and rtsps: `any` takes a certificate nobody vouches for, as cameras make them for themselves. */
  certificate: 'trusted' | 'any';
}

export interface SrtOptions {
  mode: 'caller' | 'listener';
  passphrase: string | undefined;
  streamId: string | undefined;
  /** ms; undefined: SRT's own default (120). */
  latencyMs: number | undefined;
  /** Length of the key in bytes; undefined: as the peer says. */
  keyLength: 16 | 24 | 32 | undefined;
}

interface Plan extends UrlOptions {
  /** Without its fragment. */
  url: URL;
}

export type UrlPlan =
  | (Plan & { kind: 'web' })
  | (Plan & { kind: 'file' })
  | (Plan & { kind: 'rtsp'; tls: boolean; port: number })
  | (Plan & { kind: 'srt'; port: number; srt: SrtOptions });

const wrong = (message: string): InputError => new InputError(message, { retry: false });

/** @throws InputError (retry false) that says what is wrong with the URL; it shows no credential */
export function planUrl(written: string): UrlPlan {
  // The URL standard wants a host before a port; SRT listeners are written without one.
  const full = written.replace(/^srt:\/\/:/i, 'srt://0.0.0.0:');
  if (!URL.canParse(full)) throw wrong('the URL cannot be parsed: rtsp://host:554/path would be one');
  const url = new URL(full);
  const options = fragmentOptions(url.hash.slice(1));
  url.hash = '';
  switch (url.protocol) {
    case 'http:':
    case 'https:':
      return { ...options, url, kind: 'web' };
    case 'file:':
      return { ...options, url, kind: 'file' };
    case 'rtsp:':
    case 'rtsps:': {
      const tls = url.protocol === 'rtsps:';
      if (tls && options.transport === 'udp')
        throw wrong('rtsps carries its media over TCP only: leave out transport=udp');
      return { ...options, url, kind: 'rtsp', tls, port: portOf(url, tls ? 322 : 554) };
    }
    case 'srt:':
      return {
        ...options,
        url,
        kind: 'srt',
        port: portOf(url, undefined),
        srt: srtOptions(url.searchParams),
      };
    default:
      throw wrong(`${url.protocol}// cannot be pulled: http, https, rtsp, rtsps, srt and file can`);
  }
}

function portOf(url: URL, byDefault: number | undefined): number {
  if (url.port !== '' && url.port !== '0') return Number(url.port);
  if (byDefault === undefined || url.port === '0')
    throw wrong('the URL has no port: srt://host:9000 has one');
  return byDefault;
}

function fragmentOptions(fragment: string): UrlOptions {
  const options: UrlOptions = { loop: false, transport: 'tcp', certificate: 'trusted' };
  for (const [name, value] of new URLSearchParams(fragment)) {
    const option = value === '' ? name : `${name}=${value}`;
    if (option === 'loop') options.loop = true;
    else if (option === 'transport=tcp' || option === 'transport=udp')
      options.transport = option === 'transport=tcp' ? 'tcp' : 'udp';
    else if (option === 'certificate=any') options.certificate = 'any';
    else {
      throw wrong(
        'what follows the # of the URL is not an option: #loop, #transport=tcp, #transport=udp and #certificate=any are',
      );
    }
  }
  return options;
}

function srtOptions(parameters: URLSearchParams): SrtOptions {
  const mode = parameters.get('mode') ?? 'caller';
  if (mode !== 'caller' && mode !== 'listener')
    throw wrong(`mode=${mode} is not supported: caller and listener are`);
  const passphrase = parameters.get('passphrase') ?? undefined;
  if (passphrase !== undefined && (passphrase.length < 10 || passphrase.length > 79)) {
    throw wrong('the passphrase must have 10 to 79 characters');
  }
  const streamId = parameters.get('streamid') ?? undefined;
  if (streamId !== undefined && Buffer.byteLength(streamId) > 512)
    throw wrong('the streamid is longer than 512 bytes');
  const latency = parameters.get('latency');
  const latencyMs = latency === null ? undefined : Number(latency);
  if (latencyMs !== undefined && !(Number.isInteger(latencyMs) && latencyMs >= 0 && latencyMs <= 10_000)) {
    throw wrong('latency must be whole milliseconds from 0 to 10000');
  }
  const key = parameters.get('pbkeylen');
  if (key !== null && key !== '16' && key !== '24' && key !== '32')
    throw wrong('pbkeylen must be 16, 24 or 32');
  const keyLength = key === '16' ? 16 : key === '24' ? 24 : key === '32' ? 32 : undefined;
  return { mode, passphrase, streamId, latencyMs, keyLength };
}
