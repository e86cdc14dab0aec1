/** An HLS broadcast: follows the log while it grows, and changes to the backup storage when its own fails. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SegmentsInfo } from '@livekit/protocol';
import { StorageError } from '../../storage/types.ts';
import type { EgressDesired } from '../../store/types.ts';
import type { Storage } from '../../storage/types.ts';
import { backupPrefix, isRefusal } from '../../uploads/index.ts';
import type { SegmentsUpload } from '../../uploads/index.ts';
import { segmentNames } from '../filename.ts';
import type { SegmentNames } from '../filename.ts';
import { attemptDir } from '../log/files.ts';
import type { SegmentLog } from '../log/reader.ts';
import type { Chunk } from '../log/types.ts';
import type { BroadcastOutput, HlsStatus } from '../outputs/hls/index.ts';
import { segmentKey } from '../outputs/hls/names.ts';
import { openBroadcast } from '../outputs/hls/open.ts';
import type { SegmentsOutput } from '../plan/types.ts';
import { nowNs } from '../status.ts';
import type { ManifestPart } from '../manifest.ts';
import { aside, isFree } from './free-name.ts';
import { spanOfLog, uploadNote } from './late.ts';
import { folderOf } from './manifest.ts';
import { nameValues } from './names.ts';
import type { NameClaims, Sink, SinkContext, SinkUploads } from './types.ts';

export interface SegmentsSinkOptions {
  output: SegmentsOutput;
  /** Of the output in the plan. */
  index: number;
  /** Of the output among EgressInfo's segment results. */
  result: number;
  storage: Storage;
  claims: NameClaims;
  context: SinkContext;
  uploads: SinkUploads;
  /** The broadcast cannot go on. */
  onFailure: (error: Error) => void;
}

export class SegmentsSink implements Sink {
  readonly #options: SegmentsSinkOptions;
  readonly #upload: SegmentsUpload;
  /** Chunks of this attempt: the backup storage gets them from the first on. */
  readonly #pushed: Chunk[] = [];
  #hls: BroadcastOutput;
  #info: SegmentsInfo;
  #backup: Storage | undefined;

  /** With names that are not another egress's. @throws NameConflict */
  static async open(options: SegmentsSinkOptions): Promise<SegmentsSink> {
    const { output, result, storage, claims, context } = options;
    const { egressId, info } = context.record;
    const names = segmentNames(output, nameValues(context));
    const own = segmentsAside(names, egressId);
    const known = context.attempt > 1 ? info.segmentResults[result]?.playlistName : undefined;
    if (known) return new SegmentsSink(options, known === own.dir + own.playlist ? own : names);
    // The first segment stands for all of them.
    const keys = [
      names.dir + names.playlist,
      segmentKey(
        names.dir + names.segmentPrefix,
        'index',
        0,
        0,
        output.segmentType === 'fmp4' ? '.m4s' : '.ts',
      ),
    ];
    if (await isFree({ keys, egressId, storage, claims, logger: context.logger }))
      return new SegmentsSink(options, names);
    context.status.remark(`${keys[0] ?? ''} is another egress's: the playlist is called ${own.playlist}`);
    return new SegmentsSink(options, own);
  }

  private constructor(options: SegmentsSinkOptions, names: SegmentNames) {
    const { output, index, storage, context } = options;
    this.#options = options;
    const livePlaylistKey = names.livePlaylist === undefined ? undefined : names.dir + names.livePlaylist;
    this.#upload = {
      ...{ kind: 'segments', egressId: context.record.egressId, output: index, storage: output.storage },
      own: context.plan.storages[output.storage]?.type === 'default',
      segmentPrefix: names.dir + names.segmentPrefix,
      playlistKey: names.dir + names.playlist,
      ...(livePlaylistKey !== undefined && { livePlaylistKey }),
      ...{ suffix: output.suffix, segmentDuration: output.segmentDuration },
      segmentType: output.segmentType,
      ...(output.lowLatency && { partDuration: output.partDuration }),
    };
    this.#info = this.#infoFor(storage, '');
    this.#hls = this.#open(storage, '');
    this.#report(this.#hls.status);
  }

  manifest(): ManifestPart {
    const { output } = this.#options;
    const storage = this.#backup ?? this.#options.storage;
    const segments = this.#hls.segmentKeys.map((filename) => ({
      filename,
      location: storage.location(filename),
    }));
    return {
      ...{ storage: output.storage, folder: folderOf(this.#upload.playlistKey) },
      ...{ disabled: output.disableManifest },
      playlists: [{ location: this.#info.playlistLocation, segments }],
    };
  }

  onChunk(chunk: Chunk): void {
    this.#pushed.push(chunk);
    this.#hls.push(chunk);
  }

  onDesired({ paused }: EgressDesired): void {
    this.#hls.hold?.(paused === true);
  }

  async finish(log: SegmentLog): Promise<'done' | 'pending'> {
    let failure = await this.#end();
    if (failure && !this.#backup && this.#options.uploads.openBackup) {
      await this.#useBackup(failure);
      failure = (await this.#end()) && failure;
    }
    if (!failure) return 'done';
    if (!(failure instanceof StorageError)) throw failure;
    await this.#hls.close();
    await this.#leave(failure, log);
    return 'pending';
  }

  async close(): Promise<void> {
    await this.#hls.close();
    await this.#backup?.close();
  }

  /** Ends the playlists within the time uploads have; answers what kept it from it. */
  async #end(): Promise<Error | undefined> {
    const { waitMs } = this.#options.uploads;
    const timer = new AbortController();
    const late = sleep(waitMs, undefined, { signal: timer.signal }).then(
      () =>
        new StorageError('destination', 504, `the storage did not take everything within ${waitMs / 1000} s`),
      () => undefined,
    );
    const finished = this.#hls.finish().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
    try {
      return await Promise.race([finished, late]);
    } finally {
      timer.abort();
    }
  }

  /** What is missing is made of the log, in the background. @throws the failure when it is a refusal */
  async #leave(failure: StorageError, log: SegmentLog): Promise<void> {
    const { context, uploads } = this.#options;
    const refused = isRefusal(failure);
    await context.assertCurrent();
    await uploads.queue({ ...this.#upload, ...spanOfLog(log) }, refused);
    context.logger.warn(
      { err: failure, playlist: this.#upload.playlistKey },
      'broadcast not stored whole yet',
    );
    context.status.remark(uploadNote(this.#upload, context.logDir, refused ? 'kept' : 'pending'));
    if (refused) throw failure;
  }

  async #useBackup(failure: Error): Promise<void> {
    const { context, uploads } = this.#options;
    const storage = uploads.openBackup?.();
    if (!storage) return;
    context.logger.warn({ err: failure }, 'the broadcast goes on in the backup storage');
    this.#backup = storage;
    const before = this.#hls;
    const prefix = backupPrefix(context.record.egressId);
    this.#info = this.#infoFor(storage, prefix);
    this.#hls = this.#open(storage, prefix);
    for (const chunk of this.#pushed) this.#hls.push(chunk);
    context.status.update((info) => {
      info.backupStorageUsed = true;
    });
    await before.close();
  }

  #open(storage: Storage, prefix: string): BroadcastOutput {
    const { context, uploads } = this.#options;
    const { segmentPrefix, playlistKey, livePlaylistKey, suffix, segmentDuration } = this.#upload;
    const { segmentType, partDuration } = this.#upload;
    const { attempt, logDir, epochMs } = context;
    // Players wait for playlists at this server's own storage; a backup only keeps.
    const live = this.#options.output.lowLatency && !this.#backup && storage.kind === 'local';
    const mayChange = uploads.openBackup !== undefined && this.#backup === undefined;
    return openBroadcast({
      ...{ storage, suffix, segmentDuration, segmentType, partDuration, epochMs },
      ...(live && { live: { attempt, folder: attemptDir(logDir, attempt) } }),
      segmentPrefix: prefix + segmentPrefix,
      playlistKey: prefix + playlistKey,
      ...(livePlaylistKey !== undefined && { livePlaylistKey: prefix + livePlaylistKey }),
      ...(mayChange && { giveUpMs: Math.max(uploads.waitMs, 1) }),
      earlier: context.earlier.chunks,
      assertCurrent: context.assertCurrent,
      logger: context.logger,
      onUpdate: (status) => this.#report(status),
      onFailure: (error) => {
        if (mayChange && error instanceof StorageError)
          this.#useBackup(error).catch(() => this.#options.onFailure(error));
        else this.#options.onFailure(error);
      },
    });
  }

  #infoFor(storage: Storage, prefix: string): SegmentsInfo {
    const { playlistKey, livePlaylistKey } = this.#upload;
    return new SegmentsInfo({
      playlistName: playlistKey,
      livePlaylistName: livePlaylistKey ?? '',
      playlistLocation: storage.location(prefix + playlistKey),
      livePlaylistLocation: livePlaylistKey === undefined ? '' : storage.location(prefix + livePlaylistKey),
    });
  }

  #report({ segments, bytes, durationNs, startedMs, endedMs }: HlsStatus): void {
    const info = this.#info.clone();
    info.segmentCount = BigInt(segments);
    info.size = BigInt(bytes);
    info.duration = BigInt(Math.round(durationNs));
    if (startedMs !== undefined) info.startedAt = nowNs(startedMs);
    if (endedMs !== undefined) info.endedAt = nowNs(endedMs);
    this.#options.context.status.update((egress) => {
      egress.segmentResults[this.#options.result] = info;
    });
  }
}

/** A live playlist keeps its name: it is an address, and shows the broadcast that came last. */
function segmentsAside(names: SegmentNames, egressId: string): SegmentNames {
  return {
    ...names,
    playlist: aside(names.playlist, egressId),
    segmentPrefix: `${names.segmentPrefix}-${egressId}`,
  };
}
