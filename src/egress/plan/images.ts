/** What images and storyboards need of the rest of a plan. Pure. */
import type { EgressPlan } from './types.ts';
import { invalid } from '../request/errors.ts';

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
