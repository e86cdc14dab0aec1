/** Looks into a source until it is known what it holds, and hands all of it on. */
import { Readable } from 'node:stream';
import { InputError } from '../types.ts';
import type { InputMeasures } from '../types.ts';
import { FlvInspector } from './flv.ts';
import { MkvInspector } from './matroska.ts';
import type { InputDescription, StreamInspector } from './types.ts';

export interface InspectOptions {
  signal: AbortSignal;
  /** ms to wait for what is needed to describe the source; what is known then is taken. */
  timeoutMs: number;
  /** Bytes to read (and hold) for it at most; what is known then is taken. */
  maxBytes: number;
}

export interface Inspected {
  description: InputDescription;
  /**
   * Everything from the source's first byte. Read, it reads the source; destroyed, it ends it. An error of the source
   * is an error of it.
   */
  data: Readable;
  /** Of what has passed through `data` so far. */
  measures: () => InputMeasures;
}

/**
 * @throws InputError when there is no media to be found: garbage, an early end, nothing within the time. The signal's
 *   reason, or the source's own error. The source is ended then.
 */
export async function inspect(
  source: Readable | AsyncIterable<Buffer>,
  kind: 'flv' | 'matroska',
  options: InspectOptions,
): Promise<Inspected> {
  const inspector: StreamInspector = kind === 'flv' ? new FlvInspector() : new MkvInspector();
  const iterator = (source as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  const held: Buffer[] = [];
  let pending: Promise<IteratorResult<Buffer>> | undefined;
  try {
    ({ pending } = await readAhead(iterator, inspector, held, options));
  } catch (error) {
    if (source instanceof Readable) source.destroy();
    else void iterator.return?.().catch(() => undefined);
    throw error;
  }
  const { description } = inspector;
  if (!description) throw new InputError('no media was found in it', { retry: true });
  const stream = source instanceof Readable ? source : undefined;
  const data = new PassingOn(stream, iterator, inspector, held, pending);
  return { description, data, measures: () => inspector.measures() };
}

/** Answers a read that was begun and not waited for. */
async function readAhead(
  iterator: AsyncIterator<Buffer>,
  inspector: StreamInspector,
  held: Buffer[],
  { signal, timeoutMs, maxBytes }: InspectOptions,
): Promise<{ pending: Promise<IteratorResult<Buffer>> | undefined }> {
  signal.throwIfAborted();
  const stop = Promise.withResolvers<'timeout'>();
  stop.promise.catch(() => undefined);
  const timer = setTimeout(() => stop.resolve('timeout'), timeoutMs);
  const aborted = (): void => stop.reject(signal.reason as Error);
  signal.addEventListener('abort', aborted, { once: true });
  try {
    let bytes = 0;
    while (!inspector.description && !inspector.failure) {
      const pending = iterator.next();
      pending.catch(() => undefined);
      const next = await Promise.race([pending, stop.promise]);
      if (next === 'timeout') {
        found(inspector, `no media was found in it within ${timeoutMs / 1000} s`);
        return { pending };
      }
      if (next.done) {
        found(inspector, 'it ended before any media was found in it');
        return { pending };
      }
      held.push(next.value);
      bytes += next.value.length;
      inspector.push(next.value);
      if (bytes >= maxBytes) found(inspector, `no media was found in its first ${bytes} bytes`);
    }
    if (inspector.failure && !inspector.description) throw inspector.failure;
    return { pending: undefined };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
  }
}

function found(inspector: StreamInspector, otherwise: string): void {
  inspector.settle();
  if (!inspector.description) throw new InputError(otherwise, { retry: true });
}

/** What was held, then the source as fast as it is read. */
class PassingOn extends Readable {
  readonly #source: Readable | undefined;
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #inspector: StreamInspector;
  readonly #held: Buffer[];
  #pending: Promise<IteratorResult<Buffer>> | undefined;

  constructor(
    source: Readable | undefined,
    iterator: AsyncIterator<Buffer>,
    inspector: StreamInspector,
    held: Buffer[],
    pending: Promise<IteratorResult<Buffer>> | undefined,
  ) {
    super();
    this.#source = source;
    this.#iterator = iterator;
    this.#inspector = inspector;
    this.#held = held;
    this.#pending = pending;
  }

  override _read(): void {
    const held = this.#held.shift();
    if (held) this.push(held);
    else void this.#pull();
  }

  async #pull(): Promise<void> {
    try {
      const next = await (this.#pending ?? this.#iterator.next());
      this.#pending = undefined;
      if (!next.done) this.#inspector.push(next.value);
      if (!this.destroyed) this.push(next.done ? null : next.value);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error('the source failed', { cause: error }));
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // A read that is under way ends only when the source does, so a stream is ended first.
    this.#source?.destroy();
    if (!this.#source) void this.#iterator.return?.().catch(() => undefined);
    done(error);
  }
}
