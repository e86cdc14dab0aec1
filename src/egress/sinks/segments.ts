/** An HLS broadcast, made of the log while it grows. */
import { SegmentsInfo } from '@livekit/protocol';
import type { EgressDesired } from '../../store/types.ts';
import type { Storage } from '../../storage/types.ts';
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
import { aside, isFree, nameOwner } from './free-name.ts';
import { Follower } from './follower.ts';
import type { FollowingOptions } from './follower.ts';
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
  readonly #hls: Follower<BroadcastOutput>;
  #info: SegmentsInfo;
  #ending = false;

  /** With names that are not another output's. @throws NameConflict */
  static async open(options: SegmentsSinkOptions): Promise<SegmentsSink> {
    const { output, index, result, storage, claims, context } = options;
    const { info } = context.record;
    const { holder, mark } = nameOwner(context, index);
    const names = segmentNames(output, nameValues(context));
    const own = segmentsAside(names, mark);
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
    if (await isFree({ keys, holder, storage, claims, logger: context.logger }))
      return new SegmentsSink(options, names);
    context.status.remark(`${keys[0] ?? ''} is another output's: the playlist is called ${own.playlist}`);
    return new SegmentsSink(options, own);
  }

  private constructor(options: SegmentsSinkOptions, names: SegmentNames) {
    const { output, index, storage, context, uploads, onFailure } = options;
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
    const name = this.#upload.playlistKey;
    this.#hls = new Follower({
      ...{ what: 'broadcast', name, storage, context, uploads, upload: this.#upload, onFailure },
      open: (where, prefix, how) => this.#open(where, prefix, how),
    });
    this.#report(this.#hls.following.status);
  }

  manifest(): ManifestPart {
    const { output } = this.#options;
    const { storage, following } = this.#hls;
    const segments = following.segmentKeys.map((filename) => ({
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
    this.#hls.push(chunk);
  }

  onDesired({ paused }: EgressDesired): void {
    this.#hold(paused === true);
  }

  onEnding(): void {
    this.#ending = true;
    this.#hold(true);
  }

  finish(log: SegmentLog): Promise<'done' | 'pending'> {
    return this.#hls.finish(log);
  }

  close(): Promise<void> {
    return this.#hls.close();
  }

  /** What grows behind its end is not shown either. */
  #hold(paused: boolean): void {
    this.#hls.following.hold?.(paused || this.#ending);
  }

  #open(storage: Storage, prefix: string, how: FollowingOptions): BroadcastOutput {
    const { context, output, index } = this.#options;
    const { segmentPrefix, playlistKey, livePlaylistKey, suffix, segmentDuration } = this.#upload;
    const { segmentType, partDuration } = this.#upload;
    const { attempt, logDir, epochMs } = context;
    this.#info = this.#infoFor(storage, prefix);
    // Players wait for playlists at this server's own storage; a backup only keeps.
    const added = context.plan.spans?.[index]?.fromMs !== undefined;
    const live = output.lowLatency && prefix === '' && storage.kind === 'local';
    return openBroadcast({
      ...{ storage, suffix, segmentDuration, segmentType, partDuration, epochMs },
      ...(live && { live: { attempt, folder: attemptDir(logDir, attempt), added } }),
      // Of what is in the storage it was asked to go to: a later attempt begins there again.
      ...(prefix === '' && { index: { logDir, attempt, output: index } }),
      segmentPrefix: prefix + segmentPrefix,
      playlistKey: prefix + playlistKey,
      ...(livePlaylistKey !== undefined && { livePlaylistKey: prefix + livePlaylistKey }),
      earlier: context.earlier.chunks,
      over: context.plan.spans?.[index]?.toMs !== undefined,
      assertCurrent: context.assertCurrent,
      logger: context.logger,
      onUpdate: (status) => this.#report(status),
      ...how,
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
function segmentsAside(names: SegmentNames, mark: string): SegmentNames {
  return {
    ...names,
    playlist: aside(names.playlist, mark),
    segmentPrefix: `${names.segmentPrefix}-${mark}`,
  };
}
