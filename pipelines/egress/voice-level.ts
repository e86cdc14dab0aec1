/** How loud a track is, as the element `level` tells it on the bus. */
import type Gst from 'gi://Gst?version=1.0';

/** About as often as the SFU's observer tells. */
const INTERVAL_NS = 300_000_000;
/** What is not as loud is no voice, dB of full scale: the SFU's threshold. */
const THRESHOLD_DB = -50;

/** Element text, to go before another element. */
export const VOICE_LEVEL = `level interval=${INTERVAL_NS} post-messages=true ! `;

/**
 * The loudest channel of a message of `level`, dB of full scale; undefined when it is no voice. By way of its text:
 * gjs cannot read a GValueArray.
 */
export function voiceLevel(structure: Gst.Structure): number | undefined {
  const list = /\brms=\(GValueArray\)<([^>]*)>/.exec(structure.to_string())?.[1] ?? '';
  const levels = list.split(',').map(Number).filter(Number.isFinite);
  const rms = Math.max(...levels);
  return rms >= THRESHOLD_DB ? rms : undefined;
}
