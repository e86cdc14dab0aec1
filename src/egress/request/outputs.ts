/** Outputs of a request -> outputs of a plan. */
import { EncodedFileType, SegmentedFileProtocol, SegmentedFileSuffix } from '@livekit/protocol';
import type { Message } from '@bufbuild/protobuf';
import type {
  DirectFileOutput,
  EncodedFileOutput,
  ImageOutput,
  SegmentedFileOutput,
  StreamOutput as StreamRequest,
} from '@livekit/protocol';
import { NameConflict, segmentNames, templateProblem } from '../filename.ts';
import type { EgressOutput, FileOutput, SegmentsOutput, StreamOutput } from '../plan/types.ts';
import { isKnownValue } from './enums.ts';
import { invalid } from './errors.ts';
import { imagesOutput } from './images.ts';
import type { StorageList } from './storage.ts';
import { checkStreamUrl, checkWebSocketUrl, streamProtocol } from './stream-url.ts';

const DEFAULT_SEGMENT_DURATION = 4;
const MAX_SEGMENT_DURATION = 60;
/** More destinations than this at once is a mistake, not a broadcast. */
export const MAX_STREAM_URLS = 16;

/** What all requests but those for a single track share. */
export interface EncodedRequest {
  /** The deprecated single output; not every request has it. */
  output?:
    | { case: 'file'; value: EncodedFileOutput }
    | { case: 'stream'; value: StreamRequest }
    | { case: 'segments'; value: SegmentedFileOutput }
    | { case: undefined; value?: undefined };
  fileOutputs: EncodedFileOutput[];
  streamOutputs: StreamRequest[];
  segmentOutputs: SegmentedFileOutput[];
  imageOutputs: ImageOutput[];
}

function checkTemplate(field: string, template: string): void {
  const problem = templateProblem(template);
  if (problem !== undefined) throw invalid(field, problem);
}

const FILE_TYPES: ReadonlyMap<EncodedFileType, FileOutput['fileType']> = new Map([
  [EncodedFileType.DEFAULT_FILETYPE, 'auto'],
  [EncodedFileType.MP4, 'mp4'],
  [EncodedFileType.OGG, 'ogg'],
  [EncodedFileType.MP3, 'mp3'],
]);

function encodedFile(file: EncodedFileOutput, storages: StorageList): FileOutput {
  const fileType = FILE_TYPES.get(file.fileType);
  if (fileType === undefined) {
    throw invalid('file_type', `${String(file.fileType)} is not a file type; use MP4, OGG or MP3`);
  }
  checkTemplate('filepath', file.filepath);
  return {
    type: 'file',
    filepath: file.filepath,
    fileType,
    disableManifest: file.disableManifest,
    storage: storages.add(file.output),
  };
}

function segments(request: SegmentedFileOutput, storages: StorageList): SegmentsOutput {
  if (!isKnownValue(SegmentedFileProtocol, request.protocol)) {
    throw invalid('protocol', `${request.protocol} is not a segment protocol; use HLS_PROTOCOL`);
  }
  if (!isKnownValue(SegmentedFileSuffix, request.filenameSuffix)) {
    throw invalid('filename_suffix', `${request.filenameSuffix} is not a suffix; use INDEX or TIMESTAMP`);
  }
  const segmentDuration = request.segmentDuration || DEFAULT_SEGMENT_DURATION;
  if (segmentDuration > MAX_SEGMENT_DURATION) {
    throw invalid(
      'segment_duration',
      `${segmentDuration} is not allowed; use 1 to ${MAX_SEGMENT_DURATION} seconds, or 0 for ${DEFAULT_SEGMENT_DURATION}`,
    );
  }
  checkTemplate('filename_prefix', request.filenamePrefix);
  checkTemplate('playlist_name', request.playlistName);
  checkTemplate('live_playlist_name', request.livePlaylistName);
  const output: SegmentsOutput = {
    type: 'segments',
    filenamePrefix: request.filenamePrefix,
    playlistName: request.playlistName,
    livePlaylistName: request.livePlaylistName,
    segmentDuration,
    suffix: request.filenameSuffix === SegmentedFileSuffix.TIMESTAMP ? 'timestamp' : 'index',
    segmentType: 'mpegts',
    lowLatency: false,
    partDuration: 0,
    disableManifest: request.disableManifest,
    storage: storages.add(request.output),
  };
  try {
    // Names that contradict each other do so whatever stands for their placeholders.
    segmentNames(output, { roomName: 'room', roomId: 'RM_', createdAtMs: 0, identifier: 'room' });
  } catch (error) {
    if (error instanceof NameConflict) throw invalid(error.field, error.message);
    throw error;
  }
  return output;
}

function stream(request: StreamRequest, alone: boolean): StreamOutput {
  const protocol = streamProtocol(request.protocol);
  if (request.urls.length === 0 && alone) {
    throw invalid('stream url', 'a stream that is the only output needs at least one URL');
  }
  const urls = [...new Set(request.urls)];
  if (urls.length > MAX_STREAM_URLS) {
    throw invalid('urls', `${urls.length} destinations are too many; use at most ${MAX_STREAM_URLS}`);
  }
  for (const url of urls) {
    if (protocol === 'websocket') checkWebSocketUrl('urls', url);
    else checkStreamUrl('urls', url, protocol);
  }
  return { type: 'stream', protocol: protocol ?? 'rtmp', urls };
}

/** @throws RequestError */
export function webSocketOutput(url: string): StreamOutput {
  checkWebSocketUrl('websocket_url', url);
  return { type: 'stream', protocol: 'websocket', urls: [url] };
}

/** The deprecated field counts where its list is empty; SDKs send both, the same in them. @throws RequestError */
function only<T extends Message<T>>(list: readonly T[], legacy: T | undefined, what: string): T | undefined {
  if (list.length > 1) throw invalid(`multiple ${what} outputs`, `use at most one ${what} output`);
  if (list[0] && legacy && !list[0].equals(legacy)) {
    throw invalid('output', `the deprecated field names another ${what} output than the list; leave it out`);
  }
  return list[0] ?? legacy;
}

/** @throws RequestError */
export function encodedOutputs(request: EncodedRequest, storages: StorageList): EgressOutput[] {
  const legacy = request.output ?? { case: undefined };
  const file = only(request.fileOutputs, legacy.case === 'file' ? legacy.value : undefined, 'file');
  const streams = only(request.streamOutputs, legacy.case === 'stream' ? legacy.value : undefined, 'stream');
  const segmented = only(
    request.segmentOutputs,
    legacy.case === 'segments' ? legacy.value : undefined,
    'segmented file',
  );
  const outputs: EgressOutput[] = [];
  if (file) outputs.push(encodedFile(file, storages));
  const alone = !file && !segmented && request.imageOutputs.length === 0;
  if (streams) outputs.push(stream(streams, alone));
  if (segmented) outputs.push(segments(segmented, storages));
  outputs.push(...request.imageOutputs.map((images) => imagesOutput(images, storages)));
  if (outputs.length === 0) {
    throw invalid(
      'output',
      'name at least one of file_outputs, segment_outputs, stream_outputs and image_outputs',
    );
  }
  return outputs;
}

/** @throws RequestError */
export function directFile(file: DirectFileOutput, storages: StorageList): FileOutput {
  checkTemplate('filepath', file.filepath);
  return {
    type: 'file',
    filepath: file.filepath,
    fileType: 'auto',
    disableManifest: file.disableManifest,
    storage: storages.add(file.output),
  };
}
