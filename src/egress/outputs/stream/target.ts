/** A stream URL as FFmpeg is to be given it (pure). */
import { ffmpegArguments } from '../../../pipeline/ffmpeg.ts';
import { OutputError } from '../errors.ts';

export interface StreamTarget {
  /** Without what only LiveKit understands; holds the key. */
  url: string;
  protocol: 'rtmp' | 'rtmps' | 'srt';
  /** For messages: `host:port`. */
  host: string;
  /** Parts of the URL that must not be shown anywhere. */
  secrets: string[];
}

/** @throws OutputError `unsupported` for what is no RTMP, RTMPS or SRT URL; the message does not repeat the URL */
export function parseTarget(text: string): StreamTarget {
  // librtmp's way of saying that it is live, allowed by LiveKit; everything is live here.
  const url = text.replace(/ live=1$/, '');
  const match = /^(rtmps?|srt):\/\/([^/?#\s]+)(\S*)$/i.exec(url);
  if (!match) {
    throw new OutputError(
      'unsupported',
      'not a stream URL: rtmp://, rtmps:// or srt:// and no blanks are wanted',
    );
  }
  const [, scheme = '', authority = '', rest = ''] = match;
  const protocol = scheme.toLowerCase() as StreamTarget['protocol'];
  const [path = '', query = ''] = rest.split('?');
  const key = path.slice(path.lastIndexOf('/') + 1);
  const [host = '', credentials = ''] = authority.split('@').reverse();
  const values = query.split('&').map((pair) => pair.slice(pair.indexOf('=') + 1));
  return {
    url,
    protocol,
    host,
    secrets: [url, key, rest.slice(1), ...credentials.split(':'), ...values]
      // What is too short to be a secret would only make messages unreadable.
      .filter((part) => part.length >= 4)
      .sort((a, b) => b.length - a.length),
  };
}

/** Kernel send buffer, bytes: small enough that a peer that stops reading shows within a second or two. */
const SEND_BUFFER = 256 * 1024;

/** FFmpeg's arguments: MPEG-TS on stdin, copied to the target. `caFile`: trusted certificates instead of the system's. */
export function streamArguments(target: StreamTarget, caFile?: string): string[] {
  return ffmpegArguments((command) => {
    command.input('pipe:0').inputOptions('-protocol_whitelist', 'pipe', '-f', 'mpegts');
    // Waiting for five seconds of media, as is FFmpeg's habit, would be five seconds of delay.
    command.inputOptions('-analyzeduration', '200000', '-probesize', '200000');
    // A gap stays a gap; only the wrap of the timestamps every 26.5 hours is mended.
    command.inputOptions('-dts_delta_threshold', '3600');
    command.output(target.url).outputOptions('-map', '0', '-c', 'copy');
    if (target.protocol === 'srt') {
      command.outputOptions('-protocol_whitelist', 'srt,udp', '-f', 'mpegts');
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
