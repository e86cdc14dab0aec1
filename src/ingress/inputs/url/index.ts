/** Sources that are pulled: files, HLS, cameras and SRT, by FFmpeg, within what the guard allows. */
import type { Logger } from 'pino';
import { GuardError } from '../../../outbound/index.ts';
import type { Guard } from '../../../outbound/index.ts';
import { MkvInspector } from '../inspect/index.ts';
import { InputError } from '../types.ts';
import type { Input, InputConnection } from '../types.ts';
import type { AudioMode } from './arguments.ts';
import { UrlConnection } from './connection.ts';
import { openFileSource } from './file-source.ts';
import { planUrl } from './plan.ts';
import type { UrlPlan } from './plan.ts';
import { needsDecodedAudio } from './reasons.ts';
import { openRtspSource } from './rtsp-source.ts';
import type { Source, SourceContext } from './source.ts';
import { openSrtSource } from './srt-source.ts';
import { inputError, openWebSource } from './web-source.ts';

export { planUrl } from './plan.ts';
export type { SrtOptions, UrlOptions, UrlPlan } from './plan.ts';

export interface UrlInputOptions {
  /** With its credentials, and our options in its fragment: plan.ts. */
  url: string;
  guard: Guard;
  logger: Logger;
}

/** @throws InputError (retry false) when the URL itself is wrong */
export function urlInput(options: UrlInputOptions): Input {
  return new UrlInput(options);
}

/** Audio codecs that Matroska holds and GStreamer decodes; what else comes is decoded by FFmpeg. */
const TAKEN_AUDIO = new Set([
  ...[
    'aac',
    'ac3',
    'eac3',
    'flac',
    'mp2',
    'mp3',
    'opus',
    'pcm_alaw',
    'pcm_mulaw',
    'pcm_s16le',
    'speex',
    'vorbis',
  ],
]);

class UrlInput implements Input {
  readonly #options: UrlInputOptions;
  readonly #plan: UrlPlan;
  #audio: AudioMode;

  constructor(options: UrlInputOptions) {
    this.#options = options;
    this.#plan = planUrl(options.url);
    // MPEG-TS carries AAC in ADTS nearly always: decoded from the start, it costs no second connection.
    const transportStream = this.#plan.kind === 'srt' || /\.(m3u8|ts|aac)$/i.test(this.#plan.url.pathname);
    this.#audio = transportStream ? 'pcm' : 'copy';
  }

  async connect(signal: AbortSignal): Promise<InputConnection> {
    for (let last = false; ; last = true) {
      const audio = this.#audio;
      const connection = await this.#start(audio, signal);
      const abort = (): void => void connection.close();
      signal.addEventListener('abort', abort, { once: true });
      try {
        await connection.described();
        signal.throwIfAborted();
        this.#learn(connection);
        if (last || audio === this.#audio || audio === 'pcm') return connection;
      } catch (error) {
        await connection.close();
        signal.throwIfAborted();
        if (last || audio === 'pcm' || !needsDecodedAudio(connection.lines)) throw error;
        this.#audio = 'pcm';
        continue;
      } finally {
        signal.removeEventListener('abort', abort);
      }
      await connection.close();
    }
  }

  /** For the next connection: how this source's sound is best taken. */
  #learn({ dump: { audio } }: UrlConnection): void {
    if (audio && !TAKEN_AUDIO.has(audio.codec)) this.#audio = 'pcm';
    else if (audio?.codec === 'opus') this.#audio = 'copy';
  }

  async #start(audio: AudioMode, signal: AbortSignal): Promise<UrlConnection> {
    signal.throwIfAborted();
    const { guard, logger } = this.#options;
    const source = await openSource(this.#plan, { guard, logger, signal }).catch((error: unknown) => {
      throw error instanceof GuardError ? inputError(error) : error;
    });
    if (signal.aborted) {
      await source.close();
      signal.throwIfAborted();
    }
    try {
      return new UrlConnection({ source, audio, logger, inspector: new MkvInspector() });
    } catch (cause) {
      await source.close();
      throw new InputError('FFmpeg cannot be started', { retry: true, cause });
    }
  }
}

function openSource(plan: UrlPlan, context: SourceContext): Promise<Source> {
  switch (plan.kind) {
    case 'web':
      return openWebSource(plan, context);
    case 'file':
      return openFileSource(plan, context);
    case 'rtsp':
      return openRtspSource(plan, context);
    case 'srt':
      return openSrtSource(plan, context);
  }
}
