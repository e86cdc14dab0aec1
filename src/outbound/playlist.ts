/** HLS playlists (RFC 8216) on their way to FFmpeg: every URL in them is checked and made absolute. Pure. */
import { GuardError } from './errors.ts';

export interface Playlist {
  /** As FFmpeg gets it. */
  text: string;
  /** `master` names playlists; a media playlist is `live` until it says that nothing more will come. */
  kind: 'master' | 'live' | 'ended';
  /** The longest segment; 0 when it does not say. */
  targetSeconds: number;
}

/** Whether bytes are the beginning of a playlist. */
export function isPlaylist(head: Uint8Array): boolean {
  return /^\uFEFF?#EXTM3U/.test(Buffer.from(head.subarray(0, 16)).toString('utf8'));
}

/**
 * @param base where the playlist was read
 * @param write how a URL in it is written for FFmpeg
 * @throws GuardError for a URL that may not be read, and what `write` throws
 */
export function rewritePlaylist(text: string, base: URL, write: (url: URL) => string): Playlist {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n|\r|\0/)
    .map((line) => line.trim());
  const master = lines.some((line) => line.startsWith('#EXT-X-STREAM-INF:'));
  const link = (reference: string): string => {
    const resolved = URL.canParse(reference, base) ? new URL(reference, base) : undefined;
    if (!resolved) throw new GuardError('the playlist names something that is not a URL');
    if (resolved.protocol !== 'http:' && resolved.protocol !== 'https:') {
      throw new GuardError(`the playlist names a ${resolved.protocol} URL: only http and https may be read`);
    }
    return write(resolved);
  };
  const kept = master ? bestVariant(lines) : lines;
  const written = kept.map((line) => {
    if (line.startsWith('#EXT')) return rewriteAttributes(line, link);
    return line === '' || line.startsWith('#') ? line : link(line);
  });
  const ended = lines.some((line) => line === '#EXT-X-ENDLIST');
  const target = lines
    .map((line) => /^#EXT-X-TARGETDURATION:(\d+)/.exec(line)?.[1])
    .find((found) => found !== undefined);
  return {
    text: written.join('\n'),
    kind: master ? 'master' : ended ? 'ended' : 'live',
    targetSeconds: Number(target ?? 0),
  };
}

/**
 * One attribute as FFmpeg reads it (`ff_parse_key_value`), more than RFC 8216 allows: quotes may be left out, and in
 * them a backslash escapes. Whoever reads it otherwise can be shown a URI where FFmpeg sees another.
 */
const ATTRIBUTE = /([^=, \f\t\v]+)=("(?:\\.|[^"\\])*"?|[^, \f\t\v]*)/g;

/** The tag with what `link` makes of each of its URIs. */
function rewriteAttributes(tag: string, link: (reference: string) => string): string {
  return tag.replace(ATTRIBUTE, (whole: string, name: string, value: string) => {
    // The first attribute's name has the tag's before it.
    if (!/(^|:)URI$/.test(name)) return whole;
    const reference = value.startsWith('"')
      ? value
          .slice(1)
          .replace(/^((?:\\.|[^"\\])*)"$/, '$1')
          .replace(/\\(.)/g, '$1')
      : value;
    return `${name}="${link(reference).replaceAll('\\', '%5C')}"`;
  });
}

interface Variant {
  attributes: string;
  uri: string;
}

/**
 * A master playlist of one variant, the best up to 1080p: FFmpeg would read them all. Subtitles and trick play are
 * left out, other renditions stay when the variant uses them.
 */
function bestVariant(lines: readonly string[]): string[] {
  const variants: Variant[] = [];
  const rest: string[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    if (line.startsWith('#EXT-X-STREAM-INF:')) {
      // The URI is the next line that is no comment and no tag.
      while (index + 1 < lines.length && /^(#|$)/.test(lines[index + 1] ?? '')) index += 1;
      index += 1;
      const uri = lines[index];
      if (uri !== undefined) variants.push({ attributes: line, uri });
    } else if (line.startsWith('#') && !line.startsWith('#EXT-X-I-FRAME-STREAM-INF')) {
      rest.push(line);
    }
  }
  const rank = ({ attributes }: Variant): number => {
    const height = Number(/RESOLUTION=\d+x(\d+)/.exec(attributes)?.[1] ?? 0);
    const bandwidth = Number(/[:,]BANDWIDTH=(\d+)/.exec(attributes)?.[1] ?? 0);
    // Too large ones come last, the smallest of them first.
    return height > 1080 ? -height : bandwidth;
  };
  const best = variants.reduce<Variant | undefined>(
    (chosen, each) => (chosen && rank(chosen) >= rank(each) ? chosen : each),
    undefined,
  );
  if (!best) return rest;
  const used = (line: string): boolean => {
    if (!line.startsWith('#EXT-X-MEDIA:')) return true;
    const type = /TYPE=([A-Z-]+)/.exec(line)?.[1];
    const group = /GROUP-ID="([^"]*)"/.exec(line)?.[1] ?? '';
    if (type !== 'AUDIO' && type !== 'VIDEO') return false;
    return best.attributes.includes(`${type}="${group}"`);
  };
  return [...rest.filter(used), best.attributes.replace(/,SUBTITLES="[^"]*"/, ''), best.uri, ''];
}
