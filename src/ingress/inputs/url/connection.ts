/** One FFmpeg that reads a source, from its start to its end. */
import { PassThrough } from 'node:stream';
import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { FfmpegProcess } from '../../../pipeline/ffmpeg.ts';
import type { StreamInspector } from '../inspect/types.ts';
import { InputError } from '../types.ts';
import type { InputAudio, InputConnection, InputEnd, InputMeasures, InputVideo } from '../types.ts';
import { pullArguments } from './arguments.ts';
import type { AudioMode } from './arguments.ts';
import { reasonFrom } from './reasons.ts';
import { SourceDumpReader } from './source-dump.ts';
import type { Source } from './source.ts';

export interface UrlConnectionOptions {
  /** Closed with the connection. */
  source: Source;
  audio: AudioMode;
  inspector: StreamInspector;
  logger: Logger;
}

/** From the start, or from a caller's call, to the first byte of media. */
const START_MS = 15_000;
/** From there until what has been seen has to do. */
const DESCRIBE_MS = 5000;
/** Held until it is known what the source holds, bytes. */
const MAX_HELD = 64 * 1024 * 1024;
const WATCH_MS = 250;
const KEPT_LINES = 40;

export class UrlConnection implements InputConnection {
  readonly container = 'matroska';
  readonly pacing: 'arrival' | 'timestamps';
  readonly ended: Promise<InputEnd>;
  readonly dump = new SourceDumpReader();
  readonly #options: UrlConnectionOptions;
  readonly #process: FfmpegProcess;
  readonly #data = new PassThrough({ highWaterMark: 256 * 1024 });
  readonly #watch: NodeJS.Timeout;
  readonly #lines: string[] = [];
  #described: (() => void) | undefined;
  /** Told by {@link close} or the watch, before the process is ended for it. */
  #end: InputEnd | undefined;
  #called: boolean;
  #startedAt = performance.now();
  #firstAt: number | undefined;
  #lastAt = 0;
  #held = 0;
  #blocked = false;
  #closing: Promise<void> | undefined;

  constructor(options: UrlConnectionOptions) {
    const { source, audio, logger } = options;
    this.#options = options;
    this.pacing = source.pacing;
    this.#called = source.called === undefined;
    void source.called?.then(() => {
      this.#called = true;
      this.#startedAt = performance.now();
    });
    this.#process = new FfmpegProcess({
      ...{ args: pullArguments({ options: source.options, url: source.url, audio }), logger },
      ...{ stdin: 'none', stdout: 'pipe', secrets: source.secrets },
      ...(source.env ? { env: source.env } : {}),
      ...(source.files ? { files: source.files } : {}),
      ...(source.hidden === undefined ? {} : { hidden: source.hidden }),
      ...(source.network ? { network: source.network } : {}),
      onMessage: (line) => this.#message(line),
    });
    const { stdout } = this.#process;
    stdout.on('data', (bytes: Buffer) => this.#take(bytes));
    stdout.on('error', () => undefined);
    this.#data.on('drain', () => {
      this.#blocked = false;
      this.#lastAt = performance.now();
      stdout.resume();
    });
    // Its reader may go away; the connection's end is told by `ended`.
    this.#data.on('error', () => undefined);
    this.#watch = setInterval(() => this.#look(), WATCH_MS);
    this.ended = this.#run();
  }

  get data(): Readable {
    return this.#data;
  }

  get video(): InputVideo | undefined {
    const video = this.#options.inspector.description?.video;
    // FFmpeg's Matroska does not say how a picture is turned.
    return video && { ...video, rotation: video.rotation === 0 ? this.dump.rotation : video.rotation };
  }

  get audio(): InputAudio | undefined {
    const audio = this.#options.inspector.description?.audio;
    const { audio: source } = this.dump;
    if (!audio || !source || this.#options.audio !== 'pcm') return audio;
    return { ...audio, codec: source.codec, carriedAs: audio.codec };
  }

  /** FFmpeg's last lines. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  measures(): InputMeasures {
    const measures = this.#options.inspector.measures();
    if (this.#options.audio === 'copy' || !measures.audio) return measures;
    // Decoded, it has not the source's rate any more.
    return { ...measures, audio: { bitrate: this.dump.audio?.bitrate ?? 0 } };
  }

  /** Answers when it is known what the source holds. @throws InputError when it ends before that */
  async described(): Promise<void> {
    const { inspector } = this.#options;
    if (!inspector.description && !inspector.failure) {
      await Promise.race([new Promise<void>((resolve) => (this.#described = resolve)), this.ended]);
    }
    if (inspector.description) return;
    throw inspector.failure ?? this.#failure('what came was not understood');
  }

  close(): Promise<void> {
    this.#end ??= { type: 'lost', reason: 'it was closed' };
    this.#closing ??= this.#stop();
    return this.#closing;
  }

  async #stop(): Promise<void> {
    this.#process.stdout.destroy();
    // A camera gets its TEARDOWN.
    await this.#process.stop(1000);
    await this.ended;
  }

  async #run(): Promise<InputEnd> {
    const exit = await this.#process.exited;
    clearInterval(this.#watch);
    const { source, inspector } = this.#options;
    inspector.settle();
    const end = this.#end ?? this.#endOf(exit.code);
    this.#data.end();
    await source.close();
    return end;
  }

  #endOf(code: number | null): InputEnd {
    const { source } = this.#options;
    if (code !== 0) return { type: 'lost', reason: this.#failure().message };
    return source.endOf(this.#lines);
  }

  #failure(otherwise = ''): InputError {
    const known = this.#options.source.failure();
    if (known) return known;
    if (this.#end?.type === 'lost') return new InputError(this.#end.reason, { retry: true });
    const reason = reasonFrom(this.#lines);
    if (reason) return new InputError(reason.message, { retry: reason.retry });
    const last =
      this.#lines.findLast((line) => /error|failed|invalid|unable|cannot/i.test(line)) ?? this.#lines.at(-1);
    const detail = last ?? (otherwise || 'FFmpeg said nothing');
    return new InputError(`the source cannot be read: ${detail}`, { retry: true });
  }

  #message(line: string): void {
    this.dump.read(line);
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
  }

  #take(bytes: Buffer): void {
    const { inspector } = this.#options;
    this.#lastAt = performance.now();
    this.#firstAt ??= this.#lastAt;
    inspector.push(bytes);
    this.#held += bytes.length;
    if (inspector.description || inspector.failure) this.#described?.();
    const room = this.#data.write(bytes);
    // Until it is known what the source holds nobody reads it.
    if (room || (!inspector.description && this.#held < MAX_HELD)) return;
    inspector.settle();
    this.#described?.();
    this.#blocked = true;
    this.#process.stdout.pause();
  }

  #look(): void {
    const now = performance.now();
    const { inspector, source } = this.#options;
    if (this.#firstAt === undefined) {
      if (this.#called && now - this.#startedAt > START_MS) this.#giveUp('no media came', START_MS);
      return;
    }
    if (!inspector.description && now - this.#firstAt > DESCRIBE_MS) {
      inspector.settle();
      this.#described?.();
    }
    const silence = source.silenceMs();
    if (!this.#blocked && silence !== undefined && now - this.#lastAt > silence)
      this.#giveUp('no media came', silence);
  }

  #giveUp(what: string, ms: number): void {
    if (this.#end) return;
    this.#end = { type: 'lost', reason: `${what} for ${ms / 1000} s` };
    this.#process.stdout.destroy();
    void this.#process.kill();
  }
}
