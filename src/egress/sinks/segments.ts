/** An HLS broadcast: follows the log while it grows. */
import { SegmentsInfo } from '@livekit/protocol';
import type { Storage } from '../../storage/types.ts';
import { segmentNames } from '../filename.ts';
import type { Chunk } from '../log/types.ts';
import { HlsOutput } from '../outputs/hls/index.ts';
import type { HlsStatus } from '../outputs/hls/index.ts';
import type { SegmentsOutput } from '../plan-types.ts';
import { nowNs } from '../status.ts';
import { nameValues } from './names.ts';
import type { Sink, SinkContext } from './types.ts';

export class SegmentsSink implements Sink {
  readonly #context: SinkContext;
  readonly #hls: HlsOutput;
  readonly #info: SegmentsInfo;

  /** @param onFailure the broadcast cannot go on. */
  constructor(
    output: SegmentsOutput,
    storage: Storage,
    context: SinkContext,
    onFailure: (error: Error) => void,
  ) {
    this.#context = context;
    const names = segmentNames(output, nameValues(context));
    const playlistKey = names.dir + names.playlist;
    const livePlaylistKey = names.livePlaylist === undefined ? undefined : names.dir + names.livePlaylist;
    this.#info = new SegmentsInfo({
      playlistName: playlistKey,
      livePlaylistName: livePlaylistKey ?? '',
      playlistLocation: storage.location(playlistKey),
      livePlaylistLocation: livePlaylistKey === undefined ? '' : storage.location(livePlaylistKey),
    });
    this.#hls = new HlsOutput({
      storage,
      segmentPrefix: names.dir + names.segmentPrefix,
      playlistKey,
      ...(livePlaylistKey !== undefined && { livePlaylistKey }),
      suffix: output.suffix,
      segmentDuration: output.segmentDuration,
      earlier: context.earlier.chunks,
      assertCurrent: context.assertCurrent,
      logger: context.logger,
      onUpdate: (status) => this.#report(status),
      onFailure,
    });
    this.#report(this.#hls.status);
  }

  onChunk(chunk: Chunk): void {
    this.#hls.push(chunk);
  }

  async finish(): Promise<void> {
    await this.#hls.finish();
  }

  async close(): Promise<void> {
    await this.#hls.close();
  }

  #report({ segments, bytes, durationNs, startedMs, endedMs }: HlsStatus): void {
    const info = this.#info.clone();
    info.segmentCount = BigInt(segments);
    info.size = BigInt(bytes);
    info.duration = BigInt(Math.round(durationNs));
    if (startedMs !== undefined) info.startedAt = nowNs(startedMs);
    if (endedMs !== undefined) info.endedAt = nowNs(endedMs);
    this.#context.status.update((egress) => {
      egress.segmentResults = [info];
    });
  }
}
