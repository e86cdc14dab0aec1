/** The recording's source of truth: chunks cut at keyframes, each announced when it is complete on disk. */
import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import type Gst from 'gi://Gst?version=1.0';

import { ChunkPacing, FIRST_CHUNK_NS } from '../shared/chunk-pacing.ts';
import { CHUNK_HEAD_BYTES, chunkStart } from '../shared/chunk-start.ts';
import type { LogTarget, PipelineEvent } from '../shared/protocol.ts';
import { child, numberField, setFromText, setProperties } from '../runtime/gst.ts';

/** Chunk duration where there are no keyframes to cut at, and none was asked for. */
const DURATION_CHUNK_NS = 2e9;

/** How chunks are cut: video at keyframes; sound alone by time. */
export type Cut = 'keyframe' | 'duration';

/**
 * A slow disk must not hold the muxer and with it the live tap: up to 64 MB wait in memory. The muxer marks
 * no keyframe in a transport stream of sound alone, so that is cut by time, at frame boundaries.
 */
export const LOG_DESCRIPTION =
  'queue name=logqueue max-size-buffers=0 max-size-time=0 max-size-bytes=67108864 ! ' +
  'multifilesink name=log post-messages=true async=false sync=false';

export class LogBranch {
  readonly #target: LogTarget;
  readonly #cut: Cut;
  readonly #sink: Gst.Element;
  readonly #emit: (event: PipelineEvent) => void;
  readonly #pacing = new ChunkPacing(0);
  #index = 0;
  /** Running time at which the open chunk begins. */
  #startNs = 0;
  /** What the sink's times are off by. */
  #baseNs: number | undefined;

  /** @param pipeline holds {@link LOG_DESCRIPTION} */
  constructor(pipeline: Gst.Bin, target: LogTarget, cut: Cut, emit: (event: PipelineEvent) => void) {
    this.#target = target;
    this.#cut = cut;
    this.#emit = emit;
    this.#sink = child(pipeline, 'log');
    setProperties(this.#sink, { location: GLib.build_filenamev([target.dir, target.pattern]) });
    const audioCut = cut === 'duration' && target.container === 'mpegts';
    setFromText(this.#sink, { 'next-file': audioCut ? 'max-duration' : 'key-frame' });
    this.#apply();
  }

  /** @param originNs where the egress clock is when the pipeline begins to play */
  begin(originNs: number): void {
    this.#startNs = originNs;
  }

  /** Whether a message of the bus is this branch's. */
  owns(source: Gst.Object | null): boolean {
    return source === this.#sink;
  }

  setMinDuration(minDurationNs: number): void {
    this.#pacing.setMinDuration(minDurationNs);
    this.#apply();
  }

  /** Takes in a message of multifilesink: the chunk that was open is complete. */
  closed(message: Gst.Structure): void {
    const filename = message.get_string('filename');
    if (!filename) return;
    this.#announce(filename, numberField(message, 'running-time'));
  }

  /** Announces a chunk that was cut off without a message. Call when the sink has been stopped. */
  closeRest(): void {
    const filename = GLib.build_filenamev([
      this.#target.dir,
      this.#target.pattern.replace(/%0(\d+)d/, (_, width: string) =>
        String(this.#index).padStart(Number(width), '0'),
      ),
    ]);
    if (GLib.file_test(filename, GLib.FileTest.EXISTS)) this.#announce(filename, undefined);
  }

  #announce(filename: string, sinkNs: number | undefined): void {
    const startNs = Math.round(
      chunkStart(this.#target.container, readHead(filename), this.#startNs) ?? this.#startNs,
    );
    this.#baseNs ??= this.#target.container === 'mpegts' ? startNs : 0;
    const endNs = sinkNs === undefined ? startNs : Math.max(startNs, Math.round(this.#baseNs + sinkNs));
    const file = GLib.path_get_basename(filename);
    this.#emit({ event: 'chunk', file, index: this.#index++, startNs, durationNs: endNs - startNs });
    this.#pacing.cut(endNs, startNs);
    this.#startNs = endNs;
    this.#apply();
  }

  #apply(): void {
    const asked = this.#pacing.distanceNs;
    if (this.#cut === 'keyframe') setProperties(this.#sink, { 'min-keyframe-distance': asked });
    else {
      const soundChunkNs = this.#target.soundChunkNs ?? DURATION_CHUNK_NS;
      setProperties(this.#sink, {
        'min-keyframe-distance': Math.max(asked, soundChunkNs),
        'max-file-duration': Math.max(this.#index === 0 ? FIRST_CHUNK_NS : asked, soundChunkNs),
      });
    }
  }
}

function readHead(filename: string): Uint8Array {
  try {
    const stream = Gio.File.new_for_path(filename).read(null);
    const bytes = stream.read_bytes(CHUNK_HEAD_BYTES, null).toArray();
    stream.close(null);
    return bytes;
  } catch {
    return new Uint8Array();
  }
}
