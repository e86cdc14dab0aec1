/** What images and storyboards need of the rest of a plan. Pure. */
import type { EgressPlan } from './types.ts';
import { invalid } from '../request/errors.ts';

/** Pictures a second that are composed when nothing is made of them but images: an image shows its moment within half a second. */
const PICTURES_A_SECOND = 2;

/** Whether it is asked for nothing but images of something that has to be composed. */
export function isForImages({ source, outputs, ownOutputs }: EgressPlan): boolean {
  const own = outputs.slice(0, ownOutputs ?? outputs.length);
  return (source.type === 'room' || source.type === 'web') && own.every(({ type }) => type === 'images');
}

/** A plan for images alone without what they do not show: sound, motion, and pictures that need others to be decoded. */
export function thinForImages(plan: EgressPlan): EgressPlan {
  const { source, video } = plan;
  if (!video || !isForImages(plan) || (source.type !== 'room' && source.type !== 'web')) return plan;
  const framerate = Math.min(video.framerate, PICTURES_A_SECOND);
  return {
    ...plan,
    source: { ...source, videoOnly: true },
    video: { ...video, framerate, keyFrameInterval: 1 / framerate },
    audio: null,
  };
}

/** @throws RequestError for images of sound, images that would overwrite each other, and a storyboard of nothing. */
export function checkImages({ video, outputs, options }: EgressPlan): void {
  const names = new Set<string>();
  for (const output of outputs) {
    if (output.type !== 'images') continue;
    if (video === null)
      throw invalid('image_outputs', 'there is no picture to make images of: leave them out');
    const name = `${output.storage}:${output.filenamePrefix}`;
    if (names.has(name)) {
      throw invalid(
        'image_outputs.filename_prefix',
        'two images outputs have the same one: give each its own, they would overwrite each other',
      );
    }
    names.add(name);
  }
  if (options.storyboard === undefined || options.storyboard === false) return;
  if (video === null || !outputs.some(({ type }) => type === 'file')) {
    throw invalid('options.storyboard', 'it goes beside a file output with a picture');
  }
}
