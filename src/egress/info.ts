/** EgressInfo as the API answers it before a worker has touched it. */
import {
  EgressInfo,
  EgressSourceType,
  EgressStatus,
  FileInfo,
  ImagesInfo,
  RoomCompositeEgressRequest,
  SegmentsInfo,
  StartEgressRequest,
  StreamInfo,
  StreamInfoList,
  StreamInfo_Status,
  WebEgressRequest,
} from '@livekit/protocol';
import { redactStreamUrl } from '../redact.ts';
import { fileName, imagePrefix, segmentNames } from './filename.ts';
import type { NameValues } from './filename.ts';
import type { EgressPlan } from './plan/types.ts';
import { subjectOf } from './room/presence.ts';
import { echoed } from './request/echo.ts';
import type { StartRequest } from './request/types.ts';

/** LiveKit's reasons in `EgressInfo.details`, after "End reason: ". */
export const END_REASON_API = 'StopEgress API';
const STOPPED_BEFORE_START = 'Stop called before pipeline could start';

const ns = (ms: number): bigint => BigInt(Math.round(ms)) * 1_000_000n;

/** LiveKit's rule: a composed picture counts as its web source, everything else as its SDK source. */
function sourceType(request: StartRequest): EgressSourceType {
  return isComposed(request) ? EgressSourceType.WEB : EgressSourceType.SDK;
}

function isComposed(request: StartRequest): boolean {
  if (request instanceof WebEgressRequest) return true;
  if (request instanceof RoomCompositeEgressRequest) return !(request.audioOnly && request.layout === '');
  if (!(request instanceof StartEgressRequest)) return false;
  const { source } = request;
  if (source.case === 'template') return !(source.value.audioOnly && source.value.layout === '');
  return source.case === 'web';
}

/**
 * Sets the deprecated single `result` from the lists, as LiveKit does when there is one kind of output. Call it
 * after changing them.
 */
export function setDeprecatedResult(info: EgressInfo): void {
  const { fileResults, segmentResults, streamResults, request } = info;
  const hasStream = streamResults.length > 0 || asksForStream(request);
  const kinds = [fileResults.length > 0, segmentResults.length > 0, hasStream].filter(Boolean).length;
  const [file] = fileResults;
  const [segments] = segmentResults;
  /* eslint-disable @typescript-eslint/no-deprecated -- older clients read it, and LiveKit sets it */
  if (kinds !== 1) info.result = { case: undefined };
  else if (file) info.result = { case: 'file', value: file };
  else if (segments) info.result = { case: 'segments', value: segments };
  else info.result = { case: 'stream', value: new StreamInfoList({ info: streamResults }) };
  /* eslint-enable @typescript-eslint/no-deprecated */
}

/** Also an empty stream output, to be filled by UpdateStream, is one. */
function asksForStream(request: EgressInfo['request']): boolean {
  switch (request.case) {
    case 'roomComposite':
    case 'trackComposite':
    case 'web':
      return request.value.streamOutputs.length > 0 || request.value.output.case === 'stream';
    case 'participant':
      return request.value.streamOutputs.length > 0;
    case 'egress':
      return request.value.outputs.some(({ config }) => config.case === 'stream');
    default:
      return false;
  }
}

export interface InfoContext {
  roomId: string;
  /** Wall clock of the request, ms. */
  createdAtMs: number;
}

/** What file names are made of when nothing is known of the tracks yet. */
function initialNames(
  plan: Pick<EgressPlan, 'roomName' | 'source' | 'outputs'>,
  { roomId, createdAtMs }: InfoContext,
): NameValues {
  const { source } = plan;
  const subject = subjectOf(source);
  const isTrackEgress = plan.outputs.some((output) => output.type === 'file' && output.fileType === 'auto');
  const trackId = source.type === 'tracks' ? (source.videoTrackId ?? source.audioTrackId) : undefined;
  return {
    roomName: plan.roomName,
    roomId,
    createdAtMs,
    identifier:
      source.type === 'participant'
        ? source.identity
        : isTrackEgress && trackId !== undefined
          ? trackId
          : plan.roomName,
    ...(subject !== undefined && { publisherIdentity: subject }),
  };
}

/** EgressInfo of an accepted request: STARTING, nothing recorded yet. */
export function initialInfo(request: StartRequest, plan: EgressPlan, context: InfoContext): EgressInfo {
  const names = initialNames(plan, context);
  const info = new EgressInfo({
    egressId: plan.egressId,
    roomId: context.roomId,
    roomName: plan.roomName,
    sourceType: sourceType(request),
    status: EgressStatus.EGRESS_STARTING,
    startedAt: ns(context.createdAtMs),
    updatedAt: ns(context.createdAtMs),
    request: echoed(request),
  });
  for (const output of plan.outputs) {
    switch (output.type) {
      case 'file':
        // A track's file is named when its codec is known.
        info.fileResults.push(
          new FileInfo(
            output.fileType === 'auto'
              ? {}
              : { filename: fileName(output.filepath, names, `.${output.fileType}`) },
          ),
        );
        break;
      case 'segments': {
        const { dir, playlist, livePlaylist } = segmentNames(output, names);
        info.segmentResults.push(
          new SegmentsInfo({
            playlistName: dir + playlist,
            livePlaylistName: livePlaylist === undefined ? '' : dir + livePlaylist,
          }),
        );
        break;
      }
      case 'images':
        info.imageResults.push(new ImagesInfo({ filenamePrefix: imagePrefix(output.filenamePrefix, names) }));
        break;
      case 'stream':
        info.streamResults.push(
          ...output.urls.map(
            (url) => new StreamInfo({ url: redactStreamUrl(url), status: StreamInfo_Status.ACTIVE }),
          ),
        );
        break;
    }
  }
  setDeprecatedResult(info);
  return info;
}

/** A copy that says the egress was stopped before any worker took it. */
export function abortedInfo(info: EgressInfo, nowMs: number): EgressInfo {
  const copy = info.clone();
  copy.status = EgressStatus.EGRESS_ABORTED;
  copy.error = STOPPED_BEFORE_START;
  copy.errorCode = 412;
  copy.details = `End reason: ${END_REASON_API}`;
  copy.endedAt = copy.updatedAt = ns(nowMs);
  return copy;
}

/** A copy that says the egress is being stopped, for the answer; the worker writes its own. */
export function endingInfo(info: EgressInfo, nowMs: number): EgressInfo {
  const copy = info.clone();
  if (copy.status !== EgressStatus.EGRESS_ENDING) {
    copy.status = EgressStatus.EGRESS_ENDING;
    copy.details = `End reason: ${END_REASON_API}`;
    copy.updatedAt = ns(nowMs);
  }
  return copy;
}
