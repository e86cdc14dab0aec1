/**
 * Messages out of a chunk stream (RTMP 1.0, section 5.3), fed in pieces of any size. Set Chunk Size and Abort, which
 * are about chunks, are obeyed here and not handed on.
 */
import { basicLength, chunkStreamId, isPrefix } from './chunk-header.ts';
import { RtmpError } from './errors.ts';
import { DEFAULT_CHUNK_SIZE, MESSAGE } from './message.ts';
import type { Message } from './message.ts';

export interface ChunkLimits {
  /** Bytes a message of that type may have. */
  maxBytes(type: number): number;
  /** Bytes held of unfinished messages, over all chunk streams. */
  maxPendingBytes(): number;
  maxChunkStreams: number;
}

/** What is remembered of one chunk stream: the last header, and the message that is being put together. */
interface ChunkStream {
  timestamp: number;
  /** Timestamp or delta as the last header of type 0, 1 or 2 had it; a message begun by type 3 adds it again. */
  field: number;
  extended: boolean;
  length: number;
  type: number;
  streamId: number;
  /** Holds `received` bytes so far; undefined between messages. */
  body: Buffer | undefined;
  received: number;
}

/** 3 of the basic header, 11 of the message header, 4 of the extended timestamp. */
const LONGEST_HEADER = 18;
const MESSAGE_HEADER = [11, 7, 3, 0] as const;
const EXTENDED = 0xffffff;
/** First allocation for a message; it grows with what really comes. */
const FIRST_BODY = 16 * 1024;

export class ChunkReader {
  readonly #limits: ChunkLimits;
  readonly #deliver: (message: Message) => void;
  readonly #streams = new Map<number, ChunkStream>();
  readonly #header = Buffer.alloc(LONGEST_HEADER);
  #headerLength = 0;
  #chunkSize = DEFAULT_CHUNK_SIZE;
  /** The chunk whose payload comes now. */
  #current: ChunkStream | undefined;
  #chunkLeft = 0;
  #pending = 0;
  #closed = false;

  constructor(limits: ChunkLimits, deliver: (message: Message) => void) {
    this.#limits = limits;
    this.#deliver = deliver;
  }

  /** Bytes allocated for unfinished messages. */
  get pendingBytes(): number {
    return this.#pending;
  }

  /**
   * Delivers what becomes complete with these bytes, which are copied.
   * @throws RtmpError after which no more may be fed
   */
  feed(data: Buffer): void {
    let at = 0;
    while (at < data.length && !this.#closed) {
      if (this.#current) {
        at += this.#payload(this.#current, data, at);
      } else {
        this.#header[this.#headerLength++] = data[at++] ?? 0;
        this.#parseHeader();
      }
    }
  }

  /** Delivers nothing more, and lets go of what is unfinished. */
  close(): void {
    this.#closed = true;
    this.#streams.clear();
    this.#current = undefined;
    this.#pending = 0;
  }

  /** Looks whether the header is complete; begins the chunk's payload when it is. */
  #parseHeader(): void {
    const header = this.#header;
    const format = (header[0] ?? 0) >> 6;
    const basic = basicLength(header[0] ?? 0);
    if (this.#headerLength < basic) return;
    const fixed = basic + (MESSAGE_HEADER[format] ?? 0);
    if (this.#headerLength < fixed) return;
    const id = chunkStreamId(header, basic);
    if (format === 3) {
      this.#continueStream(id, basic);
      return;
    }
    const field = header.readUIntBE(basic, 3);
    const extended = field === EXTENDED;
    if (extended && this.#headerLength < fixed + 4) return;
    const stream = this.#stream(id, format);
    if (stream.body) throw new RtmpError(`a message on chunk stream ${id} begins within another one`);
    stream.field = extended ? header.readUInt32BE(fixed) : field;
    stream.extended = extended;
    stream.timestamp = format === 0 ? stream.field : (stream.timestamp + stream.field) >>> 0;
    if (format <= 1) {
      stream.length = header.readUIntBE(basic + 3, 3);
      stream.type = header[basic + 6] ?? 0;
    }
    if (format === 0) stream.streamId = header.readUInt32LE(basic + 7);
    this.#beginMessage(stream);
  }

  /**
   * Type 3: a message goes on, or another begins with the last header. Its extended timestamp repeats the header's
   * (5.3.1.3), but some senders leave it out, and some repeat the absolute one: it is taken for one only when it is
   * one of the two.
   */
  #continueStream(id: number, basic: number): void {
    const stream = this.#streams.get(id);
    if (!stream) throw new RtmpError(`chunk stream ${id} begins without a message header`);
    if (!stream.extended) {
      this.#beginChunk(stream);
      return;
    }
    const seen = Buffer.from(this.#header.subarray(basic, this.#headerLength));
    const repeated = isPrefix(seen, stream.field) || isPrefix(seen, stream.timestamp);
    if (repeated && seen.length < 4) return;
    this.#beginChunk(stream);
    if (!repeated) this.feed(seen);
  }

  #stream(id: number, format: number): ChunkStream {
    const known = this.#streams.get(id);
    if (known) return known;
    // Some begin with type 1, meaning message stream 0 and a timestamp of 0 before it.
    if (format > 1) throw new RtmpError(`chunk stream ${id} begins without a message header`);
    if (this.#streams.size >= this.#limits.maxChunkStreams) {
      throw new RtmpError(`more than ${this.#limits.maxChunkStreams} chunk streams`);
    }
    const stream = {
      timestamp: 0,
      field: 0,
      extended: false,
      length: 0,
      type: 0,
      streamId: 0,
      received: 0,
      body: undefined,
    };
    this.#streams.set(id, stream);
    return stream;
  }

  #beginChunk(stream: ChunkStream): void {
    if (stream.body) {
      this.#chunk(stream);
      return;
    }
    stream.timestamp = (stream.timestamp + stream.field) >>> 0;
    this.#beginMessage(stream);
  }

  #beginMessage(stream: ChunkStream): void {
    const most = this.#limits.maxBytes(stream.type);
    if (stream.length > most) {
      throw new RtmpError(`a message of type ${stream.type} has ${stream.length} bytes; ${most} are allowed`);
    }
    stream.body = this.#allocate(Math.min(stream.length, FIRST_BODY));
    stream.received = 0;
    this.#chunk(stream);
  }

  #chunk(stream: ChunkStream): void {
    this.#headerLength = 0;
    this.#chunkLeft = Math.min(this.#chunkSize, stream.length - stream.received);
    this.#current = stream;
    if (this.#chunkLeft === 0) this.#endChunk(stream);
  }

  /** @returns bytes taken */
  #payload(stream: ChunkStream, data: Buffer, at: number): number {
    const count = Math.min(this.#chunkLeft, data.length - at);
    const body = this.#room(stream, stream.received + count);
    data.copy(body, stream.received, at, at + count);
    stream.received += count;
    this.#chunkLeft -= count;
    if (this.#chunkLeft === 0) this.#endChunk(stream);
    return count;
  }

  #endChunk(stream: ChunkStream): void {
    this.#current = undefined;
    if (stream.received < stream.length) return;
    const payload = this.#release(stream).subarray(0, stream.length);
    if (stream.type === MESSAGE.setChunkSize) this.#setChunkSize(payload);
    else if (stream.type === MESSAGE.abort) this.#abort(payload);
    else {
      this.#deliver({ type: stream.type, streamId: stream.streamId, timestamp: stream.timestamp, payload });
    }
  }

  /** The body, grown so that it holds `bytes`. */
  #room(stream: ChunkStream, bytes: number): Buffer {
    const body = stream.body ?? Buffer.alloc(0);
    if (body.length >= bytes) return body;
    const grown = this.#allocate(Math.min(stream.length, Math.max(bytes, 2 * body.length)));
    body.copy(grown, 0, 0, stream.received);
    this.#pending -= body.length;
    stream.body = grown;
    return grown;
  }

  #allocate(bytes: number): Buffer {
    this.#pending += bytes;
    const most = this.#limits.maxPendingBytes();
    if (this.#pending > most) {
      throw new RtmpError(`more than ${most} bytes of unfinished messages`);
    }
    // Small ones too get memory of their own: a slice of Node's pool would keep 8 KiB alive.
    return Buffer.allocUnsafeSlow(bytes);
  }

  #release(stream: ChunkStream): Buffer {
    const body = stream.body ?? Buffer.alloc(0);
    this.#pending -= body.length;
    stream.body = undefined;
    return body;
  }

  #setChunkSize(payload: Buffer): void {
    if (payload.length < 4) throw new RtmpError('Set Chunk Size without a size');
    const size = payload.readUInt32BE(0);
    if (size < 1 || size > 0x7fffffff) throw new RtmpError(`${size} is no chunk size`);
    this.#chunkSize = size;
  }

  #abort(payload: Buffer): void {
    if (payload.length < 4) throw new RtmpError('Abort without a chunk stream');
    const stream = this.#streams.get(payload.readUInt32BE(0));
    if (stream) this.#release(stream);
  }
}
