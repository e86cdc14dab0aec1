/** v2's list of outputs, each with a storage of its own, as v1's lists. Pure. */
import { EncodedFileOutput } from '@livekit/protocol';
import type { Output, StartEgressRequest, StorageConfig } from '@livekit/protocol';
import { invalid } from './errors.ts';
import type { EncodedRequest } from './outputs.ts';
import type { UploadChoice } from './storage.ts';

function sameUpload(one: UploadChoice, other: UploadChoice): boolean {
  return one.case === other.case && (one.value?.equals(other.value as never) ?? true);
}

/** An output's own storage, else what its message has a field for, else the request's. @throws RequestError */
function uploadOf(output: Output, own: UploadChoice, fallback: StorageConfig | undefined): UploadChoice {
  const { provider } = output.storage ?? {};
  if (provider?.case !== undefined) {
    if (own.case !== undefined && !sameUpload(own, provider)) {
      throw invalid('outputs.storage', `the output's ${own.case} is another one; name one of them`);
    }
    return provider;
  }
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
        if (output.storage?.provider.case !== undefined) {
          throw invalid('outputs.storage', 'of a stream nothing is stored; leave it out');
        }
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
  const streamed = outputs.every(({ config }) => config.case === 'stream');
  if (streamed && storage?.provider.case !== undefined) {
    throw invalid('storage', 'of streams nothing is stored; leave it out');
  }
  return lists;
}
