/** A stream URL as FFmpeg is to be given it (pure). */
import { HIDDEN_FILE, ffmpegArguments } from '../../../pipeline/ffmpeg.ts';
import { srtOptions } from './srt-url.ts';
import { unsupportedUrl } from './unsupported.ts';

export interface StreamTarget {
  /** What FFmpeg's command line names: scheme, host and what is no secret. */
  url: string;
  /** The rest, as lines of an FFmpeg preset: application, key, passphrase. */
  preset: string;
  protocol: 'rtmp' | 'rtmps' | 'srt';
  /** For messages: `host:port`. */
  host: string;
  /** Parts of the URL that must not be shown anywhere. */
  secrets: string[];
}

/** FFmpeg's own bound (APP_MAX_LENGTH), and that of a line of its presets, bytes. */
const MAX_APP_BYTES = 127;
const MAX_VALUE_BYTES = 960;

/** LiveKit's short forms: the services' own addresses for a stream key, over TLS. */
const SERVICES: Readonly<Record<string, string>> = {
  mux: 'rtmps://global-live.mux.com:443/app/',
  twitch: 'rtmps://ingest.global-contribute.live-video.net:443/app/',
};

/** The URL a short form stands for; any other as it is. */
function expanded(url: string): string {
  const [, service = '', key = ''] = /^(mux|twitch):\/\/([^\s/]+)$/i.exec(url) ?? [];
  return (SERVICES[service.toLowerCase()] ?? '') + (key || url);
}

/**
 * @throws OutputError `unsupported` for what is no RTMP, RTMPS or SRT URL, nor a short form of one; the message does
 * not repeat the URL
 */
export function parseTarget(text: string): StreamTarget {
  // librtmp's way of saying that it is live, allowed by LiveKit; everything is live here.
  const url = expanded(text.replace(/ live=1$/, ''));
  const match = /^(rtmps?|srt):\/\/([^/?#\s]+)(\S*)$/i.exec(url);
  if (!match)
    throw unsupportedUrl(
      'not a stream URL: rtmp://, rtmps://, srt://, mux:// or twitch:// and no blanks are wanted',
    );
  const [, scheme = '', authority = '', rest = ''] = match;
  const protocol = scheme.toLowerCase() as StreamTarget['protocol'];
  const asked = rest.indexOf('?');
  const [path, query] = asked < 0 ? [rest, ''] : [rest.slice(0, asked), rest.slice(asked + 1)];
  const key = path.slice(path.lastIndexOf('/') + 1);
  const [host = '', credentials = ''] = authority.split('@').reverse();
  const values = query.split('&').map((pair) => pair.slice(pair.indexOf('=') + 1));
  const hidden = protocol === 'srt' ? srtOptions(host, path, query) : rtmpNames(rest);
  return {
    url: `${protocol}://${protocol === 'srt' ? host : authority}`,
    preset: Object.entries(hidden).map(presetLine).join(''),
    protocol,
    host,
    secrets: [url, key, rest.slice(1), ...Object.values(hidden), ...credentials.split(':'), ...values]
      // What is too short to be a secret would only make messages unreadable.
      .filter((part) => part.length >= 4)
      .sort((a, b) => b.length - a.length),
  };
}

/**
 * The same stream by way of another authority: the server is told the URL it knows itself by.
 * @param authority an address, with or without a port
 * @param protocol what is spoken there
 */
export function reachedAt(
  target: StreamTarget,
  authority: string,
  protocol: StreamTarget['protocol'] = target.protocol,
): StreamTarget {
  const at = target.url.lastIndexOf('@');
  const start = Math.max(at + 1, target.url.indexOf('//') + 2);
  const credentials = at < 0 ? '' : target.url.slice(target.url.indexOf('//') + 2, start);
  const url = `${protocol}://${credentials}${authority}${target.url.slice(start + target.host.length)}`;
  if (protocol === 'srt') return { ...target, url };
  const app = /^rtmp_app=(.*)$/m.exec(target.preset)?.[1] ?? '';
  const tcUrl = presetLine(['rtmp_tcurl', `${target.protocol}://${target.host}/${app}`]);
  return { ...target, url, protocol, preset: target.preset + tcUrl };
}

/** LiveKit's rule: the key is what follows the last slash, the application what stands before it. */
function rtmpNames(rest: string): Record<string, string> {
  const slash = rest.lastIndexOf('/');
  const [app, key] = [rest.slice(1, slash), rest.slice(slash + 1)];
  if (slash < 1 || app === '' || rest.startsWith('?'))
    throw unsupportedUrl('not a stream URL: rtmp(s)://{host}/{app}/{stream_key} is wanted');
  if (Buffer.byteLength(app) > MAX_APP_BYTES)
    throw unsupportedUrl(`the application of the stream URL is longer than ${MAX_APP_BYTES} bytes`);
  return { rtmp_app: app, ...(key === '' ? {} : { rtmp_playpath: key }) };
}

function presetLine([name, value]: [string, string]): string {
  if (Buffer.byteLength(value) > MAX_VALUE_BYTES)
    throw unsupportedUrl(`a part of the stream URL is longer than ${MAX_VALUE_BYTES} bytes`);
  if (/[\r\n\0]/.test(value)) throw unsupportedUrl('the stream URL holds a line break');
  return value === '' ? '' : `${name}=${value}\n`;
}

/** Kernel send buffer, bytes: small enough that a peer that stops reading shows within a second or two. */
const SEND_BUFFER = 256 * 1024;

/** FFmpeg's arguments: MPEG-TS on stdin, copied to the target, whose preset is its hidden file. `caFile`: trusted certificates instead of the system's. */
export function streamArguments(target: StreamTarget, caFile?: string): string[] {
  return ffmpegArguments((command) => {
    command.input('pipe:0').inputOptions('-protocol_whitelist', 'pipe', '-f', 'mpegts');
    // Waiting for five seconds of media, as is FFmpeg's habit, would be five seconds of delay.
    command.inputOptions('-analyzeduration', '200000', '-probesize', '200000');
    // A gap stays a gap; only the wrap of the timestamps every 26.5 hours is mended.
    command.inputOptions('-dts_delta_threshold', '3600');
    command.output(target.url).outputOptions('-map', '0', '-c', 'copy');
    if (target.preset !== '') command.outputOptions('-fpre', HIDDEN_FILE);
    if (target.protocol === 'srt') {
      command.outputOptions('-protocol_whitelist', 'srt', '-f', 'mpegts');
      return;
    }
    command.outputOptions(
      '-protocol_whitelist',
      'rtmp,rtmps,tcp,tls',
      '-send_buffer_size',
      String(SEND_BUFFER),
    );
    if (target.protocol === 'rtmps') {
      command.outputOptions('-tls_verify', '1');
      if (caFile !== undefined) command.outputOptions('-ca_file', caFile);
    }
    command.outputOptions('-bsf:a', 'aac_adtstoasc', '-flvflags', 'no_duration_filesize', '-f', 'flv');
  });
}
