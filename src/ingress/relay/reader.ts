/** One reader of a relay: its own FLV, from the newest keyframe on. */
import { flvHeader, flvTag } from '../inputs/rtmp/index.ts';
import type { FlvTag } from '../inputs/rtmp/index.ts';
import { CatchUp } from './catch-up.ts';
import type { HeldTag, Header, LiveHold } from './hold.ts';

/** Why an FLV ended: the session is over; its reader is to come again for a new one; or this server goes down. */
export type RelayEnd = 'complete' | 'restart' | 'lost';

/** Where a reader's bytes go. */
export interface RelayOutput {
  /** False: nothing more until {@link RelayReader.drained}. */
  write(bytes: Buffer): boolean;
  end(why: RelayEnd): void;
}

/** FLV readers take times for signed: a day before that the reader starts anew, ms. */
const LONGEST_MS = 2 ** 31 - 86_400_000;

export class RelayReader {
  readonly #hold: LiveHold;
  readonly #output: RelayOutput;
  readonly #now: () => number;
  #next: number | undefined;
  #baseMs = 0;
  #catchUp = new CatchUp(0, 0);
  #format: { video: string | undefined; audio: string | undefined } | undefined;
  #sent: { video: FlvTag | undefined; audio: FlvTag | undefined } = { video: undefined, audio: undefined };
  #blocked = false;
  #ended = false;
  #skips = 0;

  /** @param now ms of a clock that does not jump */
  constructor(hold: LiveHold, output: RelayOutput, now: () => number) {
    this.#hold = hold;
    this.#output = output;
    this.#now = now;
  }

  /** Times it was too slow, and went on at the next keyframe. */
  get skips(): number {
    return this.#skips;
  }

  get ended(): boolean {
    return this.#ended;
  }

  drained(): void {
    this.#blocked = false;
    this.pump();
  }

  end(why: RelayEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#output.end(why);
  }

  /** There is more to be read. */
  pump(): void {
    while (!this.#ended && !this.#blocked) {
      this.#next ??= this.#begin();
      if (this.#next === undefined) return;
      const held = this.#hold.at(this.#next);
      if (held) {
        this.#next++;
        this.#pass(held);
      } else if (this.#next >= this.#hold.next) {
        return;
      } else {
        // It was forgotten: this reader is too slow.
        this.#skips++;
        this.#next = undefined;
      }
    }
  }

  /** Header first, later only what has changed; then from the newest keyframe. */
  #begin(): number | undefined {
    const start = this.#hold.newestStart(this.#now());
    const held = start === undefined ? undefined : this.#hold.at(start);
    if (!held) return undefined;
    this.#catchUp = new CatchUp(held.tag.timestamp, this.#hold.newestMs ?? held.tag.timestamp);
    if (!this.#format) {
      this.#format = { video: this.#hold.video?.format, audio: this.#hold.audio?.format };
      this.#baseMs = this.#catchUp.time(held.tag.timestamp);
      const { video, audio } = this.#format;
      this.#write(flvHeader({ video: video !== undefined, audio: audio !== undefined }));
      if (this.#hold.metadata) this.#send({ ...this.#hold.metadata, timestamp: this.#baseMs });
      this.#sendHeaders(this.#hold.audio === held.audio ? held : { ...held, audio: this.#hold.audio });
    } else this.#sendHeaders(held);
    return start;
  }

  #pass({ tag, video, audio }: HeldTag): void {
    if (this.#other(video, this.#format?.video) || this.#other(audio, this.#format?.audio)) {
      this.end('restart');
      return;
    }
    if (tag.timestamp - this.#baseMs > LONGEST_MS) {
      this.end('restart');
      return;
    }
    if (video?.tag === tag || audio?.tag === tag) this.#sendHeaders({ tag, video, audio });
    else {
      const sent = this.#catchUp.apply(tag);
      if (sent) this.#send(sent);
    }
  }

  #other(header: Header | undefined, format: string | undefined): boolean {
    return header !== undefined && header.format !== format;
  }

  #sendHeaders({ tag, video, audio }: Pick<HeldTag, 'tag' | 'video' | 'audio'>): void {
    for (const kind of ['video', 'audio'] as const) {
      const header = (kind === 'video' ? video : audio)?.tag;
      const before = this.#sent[kind];
      if (!header || (before && header.payload.equals(before.payload))) continue;
      this.#sent[kind] = header;
      this.#send({ ...header, timestamp: this.#catchUp.time(tag.timestamp) });
    }
  }

  #send(tag: FlvTag): void {
    this.#write(flvTag({ ...tag, timestamp: Math.max(0, tag.timestamp - this.#baseMs) }));
  }

  #write(bytes: Buffer): void {
    if (!this.#output.write(bytes)) this.#blocked = true;
  }
}
