/** A page's picture and sound, as a composite takes them: off the display and the sound server it is drawn on. */
import GLib from 'gi://GLib?version=2.0';
import type Gst from 'gi://Gst?version=1.0';

import type { AudioEncoding, PageSurface, VideoEncoding } from '../shared/protocol.ts';
import { rawAudio } from '../shared/encoders.ts';
import { child, setProperties, staticPad } from '../runtime/gst.ts';

/** Sound that waits in the sound server, and is fetched at a time, µs: little, as it is late by both. */
const SOUND_BUFFER_US = 120_000;
const SOUND_PERIOD_US = 10_000;

/**
 * What a page draws and sounds at one moment is heard at once, and seen when the browser has put it on the display: two
 * frames of it later (measured: 30 to 35 ms). The sound is moved by it.
 */
const DRAWING_NS = 32e6;

/**
 * Text up to a picture of `canvas`'s caps. The display is copied whole for every frame: what has changed is cheaper to
 * encode than to keep account of. Where the machine is too slow for the rate, frames are repeated, as keyframes are counted in them.
 * @param video its size, at the left upper corner of the display
 * @param rate `framerate=30/1`
 */
export function pagePicture(
  { display, xauthority }: PageSurface,
  { width, height }: Pick<VideoEncoding, 'width' | 'height'>,
  rate: string,
  canvas: string,
): string {
  GLib.setenv('XAUTHORITY', xauthority, true);
  return [
    `ximagesrc name=screen display-name=${display} use-damage=false show-pointer=false`,
    `endx=${width - 1} endy=${height - 1}`,
    `! video/x-raw,${rate} ! videorate skip-to-first=true ! video/x-raw,${rate}`,
    // Drawing stands beside the copying, not behind it.
    `! queue max-size-buffers=2 max-size-time=0 max-size-bytes=0 ! videoconvert n-threads=2 ! ${canvas} ! videobalance name=veil`,
  ].join(' ');
}

/** Text from the sound server into the mixer; none for a page that is not heard. */
export function pageSound({ sound }: PageSurface, audio: AudioEncoding): string[] {
  if (!sound) return [];
  return [
    [
      `pulsesrc name=sound server=${sound.server} device=${sound.device} client-name=sluice provide-clock=false`,
      `buffer-time=${SOUND_BUFFER_US} latency-time=${SOUND_PERIOD_US}`,
      `! audioconvert ! audioresample ! ${rawAudio(audio, 'F32LE')} ! volume name=hush ! queue ! audiomix.sink_1`,
    ].join(' '),
  ];
}

/**
 * Black and silence in place of what the page shows, or that again. Either element hands on what it gets as it is while
 * nothing is hidden.
 * @param pipeline holds {@link pagePicture} and {@link pageSound}, as far as there are such
 */
export function hidePage(
  pipeline: Gst.Bin,
  hidden: boolean,
  { picture, sound }: { picture: boolean; sound: boolean },
): void {
  const shown = hidden ? 0 : 1;
  if (picture) setProperties(child(pipeline, 'veil'), { contrast: shown, saturation: shown });
  if (sound) setProperties(child(pipeline, 'hush'), { mute: hidden });
}

/** Has picture and sound of a moment meet again. @param pipeline holds {@link pageSound} */
export function alignPage(pipeline: Gst.Bin, { sound }: PageSurface): void {
  if (sound) staticPad(child(pipeline, 'sound'), 'src').set_offset(DRAWING_NS);
}
