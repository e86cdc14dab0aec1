/** Ids as LiveKit shapes them: a prefix and 12 characters that are hard to confuse. */
import { randomInt } from 'node:crypto';
import { TrackSource } from '@livekit/protocol';

const ALPHABET = '23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** @param prefix e.g. `RM_` */
export function newId(prefix: string): string {
  let id = prefix;
  for (let i = 0; i < 12; i++) id += ALPHABET.charAt(randomInt(ALPHABET.length));
  return id;
}

/** `TR_` + kind (`A`, `V`) + source (`C`amera, `M`icrophone, `S`creen, `U`nknown), then random. */
export function newTrackId(kind: 'audio' | 'video', source: TrackSource): string {
  return newId(`TR_${kind === 'audio' ? 'A' : 'V'}${sourceLetter(source)}`);
}

function sourceLetter(source: TrackSource): string {
  switch (source) {
    case TrackSource.CAMERA:
      return 'C';
    case TrackSource.MICROPHONE:
      return 'M';
    case TrackSource.SCREEN_SHARE:
    case TrackSource.SCREEN_SHARE_AUDIO:
      return 'S';
    default:
      return 'U';
  }
}
