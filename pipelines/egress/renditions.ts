/**
 * The composed picture once more, smaller or at another bitrate, each rendition for a tap of its own: decoding and
 * composing are paid for once. The sound is encoded once for all of them, and keyframes fall together, as every
 * encoder counts the same frames.
 */
import GLib from 'gi://GLib?version=2.0';

import { h264Encoder, muxer, muxPad } from '../shared/encoders.ts';
import type { CompositeInit } from '../shared/protocol.ts';
import { RENDITION_FDS } from '../shared/protocol.ts';
import { tapSink } from './tap.ts';

/** Name of the tee behind the composed picture, and of that behind the encoded sound. */
const COMPOSED = 'composed';
const ENCODED_SOUND = 'encodedsound';

/** Frames that wait for an encoder; it is live, so that more would only be delay. */
const QUEUE = 'queue max-size-buffers=4 max-size-time=0 max-size-bytes=0';

/** What stands behind the composed picture, where there are renditions. */
export const pictureTee = (init: CompositeInit): string =>
  hasRenditions(init) ? `! tee name=${COMPOSED} ` : '';

/** What stands behind the encoded sound, where there are renditions. */
export const soundTee = (init: CompositeInit): string =>
  hasRenditions(init) ? `! tee name=${ENCODED_SOUND} ` : '';

/** Names of the renditions' encoders, in their order. */
export const renditionEncoders = (init: CompositeInit): string[] =>
  (init.renditions ?? []).map((_, index) => encoderName(index));

/**
 * Text of the branches, from the tees to the taps.
 * @throws Error for renditions without a picture, or more than there are descriptors for
 */
export function renditionBranches(init: CompositeInit): string[] {
  const { video, audio, renditions = [] } = init;
  if (renditions.length === 0) return [];
  if (!video) throw new Error('renditions need a picture');
  if (renditions.length > RENDITION_FDS.length)
    throw new Error(`${renditions.length} renditions are too many: ${RENDITION_FDS.length} are possible`);
  return renditions.flatMap(({ width, height, bitrate }, index) => {
    const mux = `mux${index + 1}`;
    // Another shape than the canvas's gets borders; nothing is stretched.
    const scaled = `videoscale add-borders=true ! video/x-raw,width=${width},height=${height},pixel-aspect-ratio=1/1`;
    const encoder = h264Encoder(
      { ...video, width, height, bitrate },
      GLib.get_num_processors(),
      encoderName(index),
    );
    return [
      muxer('mpegts', { video: true, audio: !!audio }, mux),
      `${COMPOSED}. ! ${QUEUE} ! ${scaled} ! ${encoder} ! queue ! ${muxPad('mpegts', 'video', mux)}`,
      ...(audio ? [`${ENCODED_SOUND}. ! queue ! ${muxPad('mpegts', 'audio', mux)}`] : []),
      `${mux}. ! ${tapSink(index + 1)}`,
    ];
  });
}

const hasRenditions = ({ renditions }: CompositeInit): boolean => (renditions?.length ?? 0) > 0;
const encoderName = (index: number): string => `videoenc${index + 1}`;
