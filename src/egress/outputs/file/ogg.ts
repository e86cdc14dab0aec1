/** The OGG view: Opus packets copied, what is missing between them filled with silence, so that time stays right. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { scanMkv } from '../../log/mkv-scan.ts';
import type { MkvScan } from '../../log/mkv-scan.ts';
import { OPUS_SILENCE_SAMPLES, opusSamples, opusSilence } from '../../log/opus.ts';
import { PauseSeams } from '../../log/pauses.ts';
import { OutputError } from '../errors.ts';
import { readChunk } from '../join.ts';
import { OggOpusWriter, opusHead } from './ogg-writer.ts';
import type { FileViewOptions, FileViewResult } from './view.ts';

const RATE = 48_000;
/** Less than this between two packets is jitter of their timestamps, samples (40 ms). */
const JITTER_SAMPLES = 1920;

/** Writes the file at `path` itself. @throws OutputError */
export async function writeOgg({ log, path, signal, onProgress }: FileViewOptions): Promise<FileViewResult> {
  const file = await open(path, 'wx');
  try {
    const joiner = new OpusJoiner(file, serialOf(log.egressId), new PauseSeams(log.gaps));
    for (const [i, chunk] of log.chunks.entries()) {
      signal?.throwIfAborted();
      await joiner.add(scanMkv(await readChunk(chunk)));
      onProgress?.((i + 1) / log.chunks.length);
    }
    // A mute at the end is as long as one in the middle.
    await joiner.end(log.complete ? log.endNs : undefined);
    if (joiner.packets < log.audioFrames) {
      throw new OutputError(
        'frames_lost',
        `${joiner.packets} of ${log.audioFrames} Opus packets could be read`,
      );
    }
    const { size } = await file.stat();
    return {
      path,
      bytes: size,
      durationNs: Math.round((joiner.samples / RATE) * 1e9),
      startNs: joiner.startNs,
      videoFrames: 0,
      audioFrames: joiner.packets,
      reencoded: false,
      gaps: log.gaps,
    };
  } finally {
    await file.close();
  }
}

function serialOf(egressId: string): number {
  return createHash('sha256').update(egressId).digest().readUInt32LE(0);
}

class OpusJoiner {
  readonly #file: FileHandle;
  readonly #ogg: OggOpusWriter;
  readonly #seams: PauseSeams;
  #channels = 0;
  #startNs: number | undefined;
  packets = 0;

  constructor(file: FileHandle, serial: number, seams: PauseSeams) {
    this.#file = file;
    this.#seams = seams;
    this.#ogg = new OggOpusWriter(serial);
  }

  get samples(): number {
    return this.#ogg.samples;
  }

  get startNs(): number {
    return this.#startNs ?? 0;
  }

  async add(scan: MkvScan): Promise<void> {
    const track = scan.tracks.find((candidate) => candidate.codecId === 'A_OPUS');
    if (!track) return;
    const pages: Uint8Array[] = [];
    for (const block of scan.blocks) {
      if (block.track !== track.number) continue;
      if (this.#startNs === undefined) {
        this.#startNs = block.atNs;
        this.#channels = track.channels;
        pages.push(this.#ogg.begin(opusHead(track.channels)));
      }
      pages.push(...this.#fillTo(block.atNs));
      const page = this.#ogg.packet(block.frame, opusSamples(block.frame) ?? OPUS_SILENCE_SAMPLES);
      if (page) pages.push(page);
      this.packets++;
    }
    await this.#write(pages);
  }

  async end(endNs: number | undefined): Promise<void> {
    if (this.#startNs === undefined) throw new OutputError('empty', 'the segment log holds no Opus sound');
    const pages = endNs === undefined ? [] : this.#fillTo(endNs);
    await this.#write([...pages, this.#ogg.end()]);
  }

  /** Silence up to `atNs`, when it is far enough ahead; a pause is none. */
  #fillTo(atNs: number): Uint8Array[] {
    const lengthNs = this.#seams.closed(atNs) - this.#seams.closed(this.startNs);
    const missing = Math.round((lengthNs / 1e9) * RATE) - this.#ogg.samples;
    if (missing < JITTER_SAMPLES) return [];
    const pages: Uint8Array[] = [];
    for (let i = 0; i < Math.floor(missing / OPUS_SILENCE_SAMPLES); i++) {
      const page = this.#ogg.packet(opusSilence(this.#channels), OPUS_SILENCE_SAMPLES);
      if (page) pages.push(page);
    }
    return pages;
  }

  async #write(pages: readonly Uint8Array[]): Promise<void> {
    if (pages.length > 0) await this.#file.appendFile(Buffer.concat(pages));
  }
}
