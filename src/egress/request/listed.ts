/** v2's list of outputs, each with a storage of its own, as v1's lists. Pure. */
import { EncodedFileOutput } from '@livekit/protocol';
import type { Output, StartEgressRequest, StorageConfig } from '@livekit/protocol';
import { invalid } from './errors.ts';
import type { EncodedRequest } from './outputs.ts';
import type { UploadChoice } from './storage.ts';

/** An output's own storage, else what its message has a field for, else the request's. */
function uploadOf(output: Output, own: UploadChoice, fallback: StorageConfig | undefined): UploadChoice {
  if (output.storage?.provider.case !== undefined) return output.storage.provider;
  if (own.case !== undefined) return own;
  return fallback ? fallback.provider : { case: undefined };
}

/** @throws RequestError for an output that is none */
export function listed({ outputs, storage }: StartEgressRequest): EncodedRequest {
  const lists: EncodedRequest = { fileOutputs: [], streamOutputs: [], segmentOutputs: [], imageOutputs: [] };
  for (const output of outputs) {
    const { config } = output;
    switch (config.case) {
      case 'file': {
        const { fileType, filepath, disableManifest } = config.value;
        const upload = uploadOf(output, { case: undefined }, storage);
        lists.fileOutputs.push(
          new EncodedFileOutput({ fileType, filepath, disableManifest, output: upload }),
        );
        break;
      }
      case 'stream':
        lists.streamOutputs.push(config.value);
        break;
      case 'segments': {
        const segments = config.value.clone();
        segments.output = uploadOf(output, segments.output, storage);
        lists.segmentOutputs.push(segments);
        break;
      }
      case 'images': {
        const images = config.value.clone();
        images.output = uploadOf(output, images.output, storage);
        lists.imageOutputs.push(images);
        break;
      }
      case undefined:
        throw invalid('outputs', 'each output is one of file, stream, segments and images');
    }
  }
  if (outputs.length === 0) throw invalid('outputs', 'name at least one output');
  return lists;
}
