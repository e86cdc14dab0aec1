/** Images outputs of a request -> images outputs of a plan. */
import { ImageCodec, ImageFileSuffix } from '@livekit/protocol';
import type { ImageOutput } from '@livekit/protocol';
import { templateProblem } from '../filename.ts';
import type { ImagesOutput } from '../plan/types.ts';
import { isKnownValue } from './enums.ts';
import { invalid } from './errors.ts';
import type { StorageList } from './storage.ts';

/** Seconds; LiveKit's. */
const DEFAULT_CAPTURE_INTERVAL = 10;
const MAX_CAPTURE_INTERVAL = 24 * 3600;
const MAX_IMAGE_SIZE = 4096;

function suffixOf(suffix: ImageFileSuffix): ImagesOutput['suffix'] {
  switch (suffix) {
    case ImageFileSuffix.IMAGE_SUFFIX_INDEX:
      return 'index';
    case ImageFileSuffix.IMAGE_SUFFIX_TIMESTAMP:
      return 'timestamp';
    case ImageFileSuffix.IMAGE_SUFFIX_NONE_OVERWRITE:
      return 'none';
    default:
      throw invalid(
        'filename_suffix',
        `${String(suffix)} is not a suffix; use IMAGE_SUFFIX_INDEX, IMAGE_SUFFIX_TIMESTAMP or IMAGE_SUFFIX_NONE_OVERWRITE`,
      );
  }
}

function pixels(field: 'width' | 'height', value: number): number {
  if (value === 0 || (Number.isInteger(value) && value >= 16 && value <= MAX_IMAGE_SIZE)) return value;
  throw invalid(
    `image_outputs.${field}`,
    `${value} is not allowed; use 16 to ${MAX_IMAGE_SIZE} pixels, or 0 for the picture's own`,
  );
}

/** @throws RequestError */
export function imagesOutput(request: ImageOutput, storages: StorageList): ImagesOutput {
  const { captureInterval, width, height, filenamePrefix, disableManifest } = request;
  if (!isKnownValue(ImageCodec, request.imageCodec)) {
    throw invalid('image_codec', `${String(request.imageCodec)} is not a codec of images; use IC_JPEG`);
  }
  if (captureInterval > MAX_CAPTURE_INTERVAL) {
    throw invalid(
      'capture_interval',
      `${captureInterval} is not allowed; use 1 to ${MAX_CAPTURE_INTERVAL} seconds, or 0 for ${DEFAULT_CAPTURE_INTERVAL}`,
    );
  }
  const problem = templateProblem(filenamePrefix);
  if (problem !== undefined) throw invalid('filename_prefix', problem);
  return {
    type: 'images',
    captureInterval: captureInterval || DEFAULT_CAPTURE_INTERVAL,
    width: pixels('width', width),
    height: pixels('height', height),
    filenamePrefix,
    suffix: suffixOf(request.filenameSuffix),
    disableManifest,
    storage: storages.add(request.output),
  };
}
