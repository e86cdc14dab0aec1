/** Measures what a publisher sends, for as long as its connection lasts. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import type { SfuRoom, SfuTrack } from '../../sfu/types.ts';
import { takeSample } from './sample.ts';
import type { MeasuredTrack } from './state.ts';

/** How often bytes are counted, ms. */
const TICK_MS = 5000;
/** How often first media is looked for, ms. */
const FIRST_MS = 200;
/** A look into the media now and then, every so many ticks; at first more often, as encoders begin small. */
const SAMPLE_EVERY = 6;
const FIRST_SAMPLES = [0, 1, 3];

export interface MeterOptions {
  room: SfuRoom;
  tracks: readonly SfuTrack[];
  /** The first RTP of any track has come. Called once. */
  flowing(): void;
  /** Something was measured. */
  measured(tracks: readonly MeasuredTrack[]): void;
  logger: Logger;
}

interface Entry {
  track: SfuTrack;
  bytes: number;
  /** When they were counted; undefined before the first time. */
  readAt: number | undefined;
  measured: MeasuredTrack;
}

export class InputMeter {
  readonly #options: MeterOptions;
  readonly #entries: Entry[];
  readonly #closed = new AbortController();
  #transport: ms.DirectTransport | undefined;

  constructor(options: MeterOptions) {
    this.#options = options;
    this.#entries = options.tracks.map((track) => ({
      track,
      bytes: 0,
      readAt: undefined,
      measured: unmeasured(track),
    }));
    this.#run().catch((err: unknown) => {
      if (!this.#closed.signal.aborted) options.logger.warn({ err }, 'the input is not measured any more');
    });
  }

  close(): void {
    this.#closed.abort();
    this.#transport?.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    while (!(await this.#count())) await sleep(FIRST_MS, undefined, { signal });
    this.#options.flowing();
    for (let tick = 0; ; tick++) {
      if (FIRST_SAMPLES.includes(tick) || tick % SAMPLE_EVERY === 0) await this.#sample();
      await this.#count();
      signal.throwIfAborted();
      this.#options.measured(this.#entries.map(({ measured }) => measured));
      await sleep(TICK_MS, undefined, { signal });
    }
  }

  /** @returns whether anything has come yet */
  async #count(): Promise<boolean> {
    for (const entry of this.#entries) {
      const { producer } = entry.track;
      if (producer.closed) continue;
      const stats = await producer.getStats();
      const bytes = stats.reduce((sum, stream) => sum + stream.byteCount, 0);
      const now = performance.now();
      // What came before the first look came at an unknown time.
      if (entry.readAt !== undefined) {
        const seconds = (now - entry.readAt) / 1000;
        const bitrate = Math.max(0, Math.round(((bytes - entry.bytes) * 8) / seconds));
        entry.measured = { ...entry.measured, bitrate };
      }
      entry.bytes = bytes;
      entry.readAt = now;
    }
    return this.#entries.some(({ bytes }) => bytes > 0);
  }

  async #sample(): Promise<void> {
    const { router } = this.#options.room;
    if (!this.#transport) {
      const transport = await router.createDirectTransport();
      if (this.#closed.signal.aborted) transport.close();
      this.#closed.signal.throwIfAborted();
      this.#transport = transport;
    }
    const transport = this.#transport;
    await Promise.all(
      this.#entries.map(async (entry) => {
        if (entry.track.producer.closed || entry.track.muted) return;
        const { measured, track } = entry;
        const sample = await takeSample(transport, router, track);
        entry.measured = {
          ...measured,
          width: sample.width ?? measured.width,
          height: sample.height ?? measured.height,
          framerate: sample.framerate ?? measured.framerate,
          channels: sample.channels ?? measured.channels,
        };
      }),
    );
  }
}

/** What the negotiated parameters say. */
function unmeasured(track: SfuTrack): MeasuredTrack {
  const [codec] = track.producer.rtpParameters.codecs;
  const isAudio = track.kind === 'audio';
  return {
    kind: track.kind,
    mimeType: track.mimeType,
    layers: track.spatialLayers,
    bitrate: 0,
    width: 0,
    height: 0,
    framerate: 0,
    channels: isAudio ? 1 : 0,
    sampleRate: isAudio ? (codec?.clockRate ?? 0) : 0,
  };
}
