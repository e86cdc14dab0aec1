/** Sound that never stops: a mixer with a live silent source, so that a mute is silence and not a hole. */
import type Gst from 'gi://Gst?version=1.0';

import type { AudioEncoding } from '../shared/protocol.ts';
import { audioEncoder, audioFrame, rawAudio } from '../shared/encoders.ts';
import { child, staticPad } from '../runtime/gst.ts';
import { JITTER_LATENCY_MS } from '../runtime/receiver-bin.ts';

/** What decoding and scheduling may take on top of the jitterbuffer before a mixer goes on without a source. */
const DECODE_MARGIN_MS = 60;

/**
 * Latency mixers have from the start, ns. A source that is added later must not raise it: that would be a hole in
 * the output.
 */
export const MIXER_LATENCY_NS = (JITTER_LATENCY_MS + DECODE_MARGIN_MS) * 1e6;

/** A track's sound may be this far off its timestamps before it is moved (lip sync moves it in small steps). */
const ALIGNMENT_NS = 20e6;

/**
 * Frames of the encoder that are mixed at a time when nobody watches live. Each round of the mixer wakes three threads,
 * at more than what the mixing and half of what the encoding costs; four frames of AAC are 93 ms later in a stream.
 */
const FRAMES_AT_ONCE = 4;

/**
 * Text of mixer and encoder up to a pad to link to the muxer. Sources request `audiomix.sink_%u`.
 * @param live what comes out is streamed as it comes: a frame at a time
 * @param behindMixer elements between the two, with the link to the first
 */
export function mixedAudio(
  audio: AudioEncoding,
  format: 'S16LE' | 'F32LE',
  live: boolean,
  behindMixer = '',
): string {
  const frame = audioFrame(audio) * (live ? 1 : FRAMES_AT_ONCE);
  const raw = rawAudio(audio, format);
  return [
    `audiotestsrc name=silence is-live=true wave=silence samplesperbuffer=${frame} ! ${raw} ! audiomix.sink_0`,
    `audiomixer name=audiomix min-upstream-latency=${MIXER_LATENCY_NS} start-time-selection=first`,
    `alignment-threshold=${ALIGNMENT_NS} discont-wait=200000000`,
    `output-buffer-duration-fraction=${frame}/${audio.frequency}`,
    `! ${raw} ${behindMixer}! ${audioEncoder(audio)}`,
  ].join(' ');
}

/**
 * An AAC decoder gives out one frame of nothing before the first sample. MPEG-TS has no place to say so, so that the
 * sound would be 21 ms late: the encoder's output is moved ahead by it.
 */
export function compensateEncoder(pipeline: Gst.Bin, audio: AudioEncoding): void {
  if (audio.codec !== 'aac') return;
  const primingNs = Math.round((audioFrame(audio) * 1e9) / audio.frequency);
  staticPad(child(pipeline, 'audioenc'), 'src').set_offset(-primingNs);
}
