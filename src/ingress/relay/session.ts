/** One publisher's time in a room, as the relay holds it: across its reconnects, and across its workers. */
import type { Logger } from 'pino';
import type { FlvTag, MediaSink, RtmpPublisher } from '../inputs/rtmp/index.ts';
import { LiveHold } from './hold.ts';
import { RelayReader } from './reader.ts';
import type { RelayEnd, RelayOutput } from './reader.ts';
import { Timeline } from './timeline.ts';

/** ms of silence after which a connection is taken for half open, and another may take its place. */
const SILENT_MS = 3000;
/** ms after a return in which every kind from before has to come again. */
const KINDS_MS = 2500;

export interface RelaySessionOptions {
  resourceId: string;
  /** ms a publisher that is gone is waited for. */
  graceMs: number;
  logger: Logger;
  /** Called once. `read`: a worker was reading when it ended. */
  onOver: (read: boolean) => void;
}

export class RelaySession {
  readonly resourceId: string;
  readonly #options: RelaySessionOptions;
  readonly #hold = new LiveHold();
  readonly #timeline = new Timeline();
  #publisher: RtmpPublisher | undefined;
  #reader: RelayReader | undefined;
  #grace: NodeJS.Timeout | undefined;
  #returned: { atMs: number; seen: Set<string> } | undefined;
  #began = false;
  #goneAtMs = 0;
  #over = false;

  constructor(options: RelaySessionOptions) {
    this.resourceId = options.resourceId;
    this.#options = options;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Bytes of media held. */
  get heldBytes(): number {
    return this.#hold.bytes;
  }

  /** Whether a publisher would be let in now. */
  get free(): boolean {
    return !this.#over && (this.#publisher === undefined || this.#publisher.silentMs > SILENT_MS);
  }

  /** The publisher from now on; one that was there is silent, and is hung up on. */
  attach(publisher: RtmpPublisher): MediaSink {
    const before = this.#publisher;
    this.#publisher = publisher;
    before?.close('another connection with the same stream key has taken over');
    clearTimeout(this.#grace);
    if (before) this.#goneAtMs = performance.now() - before.silentMs;
    if (this.#began) {
      this.#options.logger.info(
        { afterMs: Math.round(performance.now() - this.#goneAtMs) },
        'publisher is back',
      );
      this.#timeline.resume();
      this.#returned = { atMs: performance.now(), seen: new Set() };
    }
    this.#began = true;
    return {
      tag: (tag) => {
        if (this.#publisher === publisher && !this.#over) this.#take(tag);
      },
      end: (reason) => {
        if (this.#publisher === publisher) this.#gone(reason);
      },
    };
  }

  /** A worker reads; the one before is replaced. */
  read(output: RelayOutput): RelayReader {
    this.#reader?.end('lost');
    const reader = new RelayReader(this.#hold, output, () => performance.now());
    this.#reader = reader;
    if (this.#over) reader.end('complete');
    else reader.pump();
    return reader;
  }

  /** The worker's connection is gone. */
  left(reader: RelayReader): void {
    if (reader.skips > 0)
      this.#options.logger.warn({ times: reader.skips }, 'worker was too slow for the source');
    if (this.#reader === reader) this.#reader = undefined;
  }

  /** Ends it for good: publisher, reader, timers. */
  end(reason: string, why: RelayEnd = 'complete'): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#grace);
    const read = this.#reader !== undefined && !this.#reader.ended;
    this.#reader?.end(why);
    this.#hold.clear();
    const publisher = this.#publisher;
    this.#publisher = undefined;
    publisher?.close(reason);
    this.#options.logger.info({ reason }, 'publishing session over');
    this.#options.onOver(read);
  }

  #take(tag: FlvTag): void {
    const nowMs = performance.now();
    const header = tag.type !== 'data' && isHeader(tag);
    const timestamp =
      tag.type === 'data' || header
        ? this.#timeline.now
        : this.#timeline.tidy(tag.type, tag.timestamp, nowMs);
    this.#hold.push({ ...tag, timestamp }, nowMs);
    this.#checkKinds(tag.type, nowMs);
    this.#reader?.pump();
  }

  /** Who is back without its sound (or picture) is another stream than before. */
  #checkKinds(kind: FlvTag['type'], nowMs: number): void {
    if (!this.#returned) return;
    const { atMs, seen } = this.#returned;
    seen.add(kind);
    if (nowMs - atMs < KINDS_MS) return;
    this.#returned = undefined;
    for (const lost of ['video', 'audio'] as const) {
      if (this.#hold[lost] === undefined || seen.has(lost)) continue;
      this.#hold.drop(lost);
      this.#reader?.end('restart');
    }
  }

  #gone(reason: string): void {
    this.#publisher = undefined;
    if (this.#over) return;
    this.#goneAtMs = performance.now();
    const { graceMs, logger } = this.#options;
    logger.info({ reason, graceMs }, 'publisher is gone, and waited for');
    this.#grace = setTimeout(() => this.end('the publisher did not come back'), graceMs);
  }
}

/** AVC's and AAC's sequence headers have no time that means anything. */
function isHeader({ type, payload }: FlvTag): boolean {
  const [first = 0, second] = payload;
  return second === 0 && (type === 'video' ? (first & 0x0f) === 7 : first >> 4 === 10);
}
