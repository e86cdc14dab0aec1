/** What becomes of outputs that reach their storage after the end of their egress. */
import { join } from 'node:path';
import type { EgressInfo } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { EgressRecord } from '../../store/types.ts';
import { uploadName } from '../../uploads/index.ts';
import type { ImagesUpload, SegmentsUpload, Stored, Upload, UploadWork } from '../../uploads/index.ts';
import { setDeprecatedResult } from '../info.ts';
import { readLog } from '../log/reader.ts';
import type { SegmentLog } from '../log/reader.ts';
import { scratchDir } from '../log/files.ts';
import { openBroadcast } from '../outputs/hls/open.ts';
import { ImagesOutput } from '../outputs/images/index.ts';
import { planOfRecord } from '../plan/plan.ts';
import { nowNs } from '../status.ts';

/** A broadcast, or images, that could not be stored are tried again from the start after this, ms. */
const GIVE_UP_MS = 20_000;

type Note = 'pending' | 'kept';

/** What `EgressInfo.details` says of an output that is not in its storage. */
export function uploadNote(upload: Upload, logDir: string, note: Note): string {
  const name = uploadName(upload);
  const path = upload.kind === 'file' ? join(logDir, upload.file) : logDir;
  return note === 'kept'
    ? `${name} is kept at ${path}`
    : `${name} is still to be uploaded, until then it is at ${path}`;
}

/** Which chunks an output is made of, for an upload that makes it again. Pure. */
export function spanOfLog({ chunks }: Pick<SegmentLog, 'chunks'>): {
  span?: { fromNs: number; toNs: number };
} {
  const [first] = chunks;
  const last = chunks.at(-1);
  return first && last ? { span: { fromNs: first.startNs, toNs: last.startNs } } : {};
}

/** The log's chunks that the upload is made of. */
async function chunksFor({ span }: SegmentsUpload | ImagesUpload, logDir: string): Promise<SegmentLog> {
  const log = await readLog(logDir);
  if (!span) return log;
  const chunks = log.chunks.filter(({ startNs }) => startNs >= span.fromNs && startNs <= span.toNs);
  return { ...log, chunks };
}

/** @param spoolDir holds a folder an egress */
export function lateWork(spoolDir: string, logger: Logger): UploadWork {
  return {
    planOf(record: EgressRecord, upload: Upload) {
      const plan = planOfRecord(record).storages[upload.storage];
      if (!plan) throw new Error(`the plan of ${upload.egressId} has no storage ${upload.storage}`);
      return plan;
    },

    async storeSegments(upload, { storage, prefix, logDir, signal }) {
      signal.throwIfAborted();
      const { segmentPrefix, playlistKey, livePlaylistKey, suffix, segmentDuration } = upload;
      const { segmentType, partDuration } = upload;
      const { chunks, epochMs } = await chunksFor(upload, logDir);
      const hls = openBroadcast({
        ...{ storage, suffix, segmentDuration, segmentType, partDuration, epochMs, logger },
        segmentPrefix: prefix + segmentPrefix,
        playlistKey: prefix + playlistKey,
        ...(livePlaylistKey !== undefined && { livePlaylistKey: prefix + livePlaylistKey }),
        ...{ earlier: chunks, over: true },
        giveUpMs: GIVE_UP_MS,
      });
      const stop = () => void hls.close();
      signal.addEventListener('abort', stop, { once: true });
      try {
        const { bytes, segments, durationNs, playlist, livePlaylist } = await hls.finish();
        return {
          ...{ bytes, segments, durationNs, playlistLocation: playlist.location },
          livePlaylistLocation: livePlaylist?.location ?? '',
        };
      } finally {
        signal.removeEventListener('abort', stop);
        await hls.close();
      }
    },

    async storeImages(upload, { storage, prefix, logDir, signal }) {
      signal.throwIfAborted();
      const { suffix, captureInterval, width, height } = upload;
      const log = await chunksFor(upload, logDir);
      const images = new ImagesOutput({
        ...{ storage, suffix, captureInterval, width, height, logger },
        ...{ prefix: prefix + upload.prefix, container: log.container, scratch: scratchDir(logDir) },
        ...{ earlier: log.chunks, giveUpMs: GIVE_UP_MS },
      });
      const stop = () => void images.close();
      signal.addEventListener('abort', stop, { once: true });
      try {
        return (await images.finish()).images.length;
      } finally {
        signal.removeEventListener('abort', stop);
        await images.close();
      }
    },

    amend(info: EgressInfo, upload: Upload, stored: Stored | undefined): void {
      const logDir = join(spoolDir, upload.egressId);
      const name = uploadName(upload);
      const before = info.details;
      for (const note of ['pending', 'kept'] as const) {
        const text = uploadNote(upload, logDir, note);
        const becomes = stored
          ? `${name} was uploaded at ${new Date().toISOString()}`
          : `${name} was not uploaded, and is kept at ${upload.kind === 'file' ? join(logDir, upload.file) : logDir}`;
        info.details = info.details.replace(text, () => becomes);
      }
      if (stored) setResult(info, upload, stored);
      // The same again, after a crash: nothing to tell.
      if (info.details !== before) info.updatedAt = nowNs();
    },
  };
}

function setResult(info: EgressInfo, upload: Upload, stored: Stored): void {
  const { location, bytes, backup, segments, images } = stored;
  if (backup) info.backupStorageUsed = true;
  if (upload.kind === 'file' && upload.part !== undefined) {
    if (upload.part === 'manifest') info.manifestLocation = location;
    return;
  }
  if (upload.kind === 'images') {
    const result = info.imageResults[upload.result];
    if (result && images !== undefined) result.imageCount = BigInt(images);
    return;
  }
  const file =
    upload.kind === 'file' ? info.fileResults.find(({ filename }) => filename === upload.key) : undefined;
  const broadcast =
    upload.kind === 'segments'
      ? info.segmentResults.find(({ playlistName }) => playlistName === upload.playlistKey)
      : undefined;
  if (file) {
    file.location = location;
    file.size = BigInt(bytes);
  } else if (segments && broadcast) {
    broadcast.playlistLocation = segments.playlistLocation;
    broadcast.livePlaylistLocation = segments.livePlaylistLocation;
    broadcast.segmentCount = BigInt(segments.segments);
    broadcast.size = BigInt(bytes);
    broadcast.duration = BigInt(Math.round(segments.durationNs));
  }
  setDeprecatedResult(info);
}
