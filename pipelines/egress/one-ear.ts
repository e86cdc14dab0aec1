/** Puts a track's sound on one channel of two. */
import type { AudioEncoding, Command } from '../shared/protocol.ts';

type Channel = Extract<Command, { cmd: 'connect' }>['channel'];

/** Weights of a mono mix, for audioconvert: a row an output channel. */
const WEIGHTS = {
  left: '<<(float)1.0>,<(float)0.0>>',
  right: '<<(float)0.0>,<(float)1.0>>',
} as const;

/** Text of elements behind an audioconvert, with the link to the first; empty where there is nothing to do. */
export function oneEar(channel: Channel, { channels }: AudioEncoding): string {
  if (channel === undefined || channel === 'both' || channels !== 2) return '';
  return ` ! audio/x-raw,channels=1 ! audioconvert mix-matrix="${WEIGHTS[channel]}"`;
}
