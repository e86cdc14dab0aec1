/** One publish of a connection: from the question whether it may, over its media, to its end. */
import { splitAggregate } from './aggregate.ts';
import { decodeAmf0, decodeFirst } from './amf0.ts';
import { judgeAudio, judgeVideo } from './codecs.ts';
import { RtmpError } from './errors.ts';
import type { FlvTag } from './flv.ts';
import { MESSAGE } from './message.ts';
import type { Message } from './message.ts';
import { TimestampUnwrapper } from './timestamps.ts';
import type { Authorise, MediaSink, PublishRequest, RtmpPublisher } from './types.ts';

export interface PublicationEvents {
  accepted(): void;
  /** It may not publish; `cause`: what the authorisation threw. */
  refused(reason: string, cause?: unknown): void;
  /** Media that is not taken. */
  unsupported(reason: string): void;
  /** The accepted side wants it closed. */
  close(reason: string): void;
}

export class Publication {
  /** Message stream it came on. */
  readonly streamId: number;
  readonly request: PublishRequest;
  readonly #events: PublicationEvents;
  readonly #now: () => number;
  readonly #timestamps = new TimestampUnwrapper();
  #sink: MediaSink | undefined;
  #ended: { reason: string; orderly: boolean } | undefined;
  #mediaAt: number;

  constructor(streamId: number, request: PublishRequest, events: PublicationEvents, now: () => number) {
    this.streamId = streamId;
    this.request = request;
    this.#events = events;
    this.#now = now;
    this.#mediaAt = now();
  }

  get live(): boolean {
    return this.#sink !== undefined && this.#ended === undefined;
  }

  /** ms since audio or video last came. */
  get silentMs(): number {
    return this.#now() - this.#mediaAt;
  }

  /** Asks; answers by the events, unless it has ended meanwhile. Never rejects. */
  async authorise(authorise: Authorise): Promise<void> {
    const silentMs = () => this.silentMs;
    const publisher: RtmpPublisher = {
      get silentMs() {
        return silentMs();
      },
      close: (reason) => {
        if (!this.#ended) this.#events.close(reason);
      },
    };
    let answer: Awaited<ReturnType<Authorise>>;
    try {
      answer = await authorise(this.request, publisher);
    } catch (cause) {
      if (!this.#ended) this.#events.refused('the stream cannot be taken now; try again', cause);
      return;
    }
    if ('refuse' in answer) {
      if (!this.#ended) this.#events.refused(answer.refuse);
    } else if (this.#ended) {
      // It was accepted too late: whoever accepted still has to hear of the end.
      answer.accept.end(this.#ended.reason, this.#ended.orderly);
    } else {
      this.#sink = answer.accept;
      this.#mediaAt = this.#now();
      this.#events.accepted();
    }
  }

  /** Audio, video, data and aggregates; before it is live and after its end they are dropped. @throws RtmpError */
  take(message: Message): void {
    if (!this.live) return;
    switch (message.type) {
      case MESSAGE.audio:
      case MESSAGE.video:
        this.#media(message.type === MESSAGE.audio ? 'audio' : 'video', message);
        break;
      case MESSAGE.dataAmf0:
        this.#data(message, message.payload);
        break;
      case MESSAGE.dataAmf3:
        // AMF0 after a byte that says so.
        this.#data(message, message.payload.subarray(message.payload[0] === 0 ? 1 : 0));
        break;
      case MESSAGE.aggregate:
        // Aggregates in aggregates are none.
        for (const part of splitAggregate(message)) if (part.type !== MESSAGE.aggregate) this.take(part);
        break;
    }
  }

  /** Tells the sink, once; later calls change nothing. */
  end(reason: string, orderly: boolean): void {
    if (this.#ended) return;
    this.#ended = { reason, orderly };
    this.#sink?.end(reason, orderly);
  }

  #media(type: 'audio' | 'video', { payload, timestamp }: Message): void {
    const verdict = type === 'audio' ? judgeAudio(payload) : judgeVideo(payload);
    if (verdict === 'skip') return;
    if (verdict !== 'take') {
      this.#events.unsupported(verdict.refuse);
      return;
    }
    this.#mediaAt = this.#now();
    this.#emit({ type, timestamp: this.#timestamps.media(timestamp), payload });
  }

  /** onMetaData is handed on, without the `@setDataFrame` before it; whatever else is data is not. */
  #data({ timestamp }: Message, payload: Buffer): void {
    const metadata = metadataIn(payload);
    if (metadata)
      this.#emit({ type: 'data', timestamp: this.#timestamps.other(timestamp), payload: metadata });
  }

  #emit(tag: FlvTag): void {
    this.#sink?.tag(tag);
  }
}

/** Undefined for other data, and for what cannot be read: nobody's demuxer shall be tried on it. */
function metadataIn(payload: Buffer): Buffer | undefined {
  try {
    let body = payload;
    let { value, length } = decodeFirst(body);
    if (value === '@setDataFrame') {
      body = body.subarray(length);
      ({ value, length } = decodeFirst(body));
    }
    if (value !== 'onMetaData') return undefined;
    decodeAmf0(body);
    return body;
  } catch (error) {
    if (error instanceof RtmpError) return undefined;
    throw error;
  }
}
