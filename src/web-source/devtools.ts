/** The DevTools protocol over a pipe: JSON messages, each with a zero byte behind it. No port anybody could find. */
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';

const messageSchema = z.object({
  id: z.number().optional(),
  method: z.string().optional(),
  params: z.unknown().optional(),
  result: z.unknown().optional(),
  error: z.object({ message: z.string() }).optional(),
  sessionId: z.string().optional(),
});

/** A message longer than this is no browser's, bytes. */
const LONGEST = 64 * 1024 * 1024;
const ANSWER_MS = 10_000;

export interface DevToolsEvent {
  method: string;
  params: unknown;
  /** Of the page it is about; undefined: the browser. */
  sessionId: string | undefined;
}

export class DevToolsError extends Error {
  override readonly name = 'DevToolsError';
}

interface Pending {
  method: string;
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export class DevTools {
  readonly #write: Writable;
  readonly #onEvent: (event: DevToolsEvent) => void;
  readonly #onBroken: (reason: string) => void;
  readonly #pending = new Map<number, Pending>();
  #parts: Buffer[] = [];
  #bytes = 0;
  #lastId = 0;
  #closed: string | undefined;

  /**
   * @param onEvent must not throw
   * @param onBroken called once when the browser says what no browser says: it cannot be told anything any more
   */
  constructor(
    write: Writable,
    read: Readable,
    { onEvent, onBroken }: { onEvent: (event: DevToolsEvent) => void; onBroken: (reason: string) => void },
  ) {
    this.#write = write;
    this.#onEvent = onEvent;
    this.#onBroken = onBroken;
    read.on('data', (data: Buffer) => this.#read(data));
    read.once('close', () => this.close('the browser is gone'));
  }

  /**
   * @param sessionId of a page; undefined: the browser itself
   * @param timeoutMs above 0
   * @throws DevToolsError when it is refused, not answered, or the browser is gone; shows no parameters
   */
  async send<T>(
    method: string,
    params: object,
    schema: z.ZodType<T>,
    { sessionId, timeoutMs = ANSWER_MS }: { sessionId?: string | undefined; timeoutMs?: number } = {},
  ): Promise<T> {
    if (this.#closed !== undefined) throw new DevToolsError(`${method}: ${this.#closed}`);
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const late = () => {
      this.#pending.delete(id);
      reject(new DevToolsError(`${method}: no answer within ${timeoutMs} ms`));
    };
    const timer = setTimeout(late, timeoutMs);
    this.#pending.set(id, { method, resolve, reject, timer });
    this.#write.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const parsed = schema.safeParse(await promise);
    if (!parsed.success) throw new DevToolsError(`${method}: answered with something else`);
    return parsed.data;
  }

  /** Whether nothing is answered any more. */
  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /** Nothing is answered any more. */
  close(reason: string): void {
    this.#closed ??= reason;
    for (const { method, reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new DevToolsError(`${method}: ${reason}`));
    }
    this.#pending.clear();
  }

  #broken(reason: string): void {
    this.#parts = [];
    this.close(reason);
    this.#onBroken(reason);
  }

  #read(data: Buffer): void {
    let from = 0;
    for (let end = data.indexOf(0); end >= 0; end = data.indexOf(0, from)) {
      if (this.closed) return;
      this.#message(Buffer.concat([...this.#parts, data.subarray(from, end)]).toString());
      this.#parts = [];
      this.#bytes = 0;
      from = end + 1;
    }
    if (from === data.length || this.closed) return;
    this.#parts.push(data.subarray(from));
    this.#bytes += data.length - from;
    if (this.#bytes > LONGEST) this.#broken('the browser said more than can be kept');
  }

  #message(text: string): void {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      return this.#broken('the browser did not speak JSON');
    }
    const { data } = messageSchema.safeParse(json);
    if (!data) return;
    if (data.id === undefined) {
      if (data.method !== undefined)
        this.#onEvent({ method: data.method, params: data.params, sessionId: data.sessionId });
      return;
    }
    const pending = this.#pending.get(data.id);
    if (!pending) return;
    this.#pending.delete(data.id);
    clearTimeout(pending.timer);
    if (data.error) pending.reject(new DevToolsError(`${pending.method}: ${data.error.message}`));
    else pending.resolve(data.result);
  }
}

/** Answers that say nothing we need. */
export const anything: z.ZodType = z.unknown();
