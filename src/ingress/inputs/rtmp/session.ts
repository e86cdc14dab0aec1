/** One connection, without its socket: bytes in, answers out, and whose media goes where. */
import { Acknowledgements } from './acknowledgements.ts';
import { ChunkReader } from './chunk-reader.ts';
import { Commands } from './commands.ts';
import { overdue, type Stage } from './deadlines.ts';
import { RtmpError } from './errors.ts';
import { Handshake } from './handshake.ts';
import { HeldMessages } from './held.ts';
import { MESSAGE, USER_CONTROL, userControlMessage } from './message.ts';
import type { Message } from './message.ts';
import { publishedName } from './names.ts';
import { Publication } from './publication.ts';
import type { SessionOptions } from './session-types.ts';

export class RtmpSession {
  readonly #options: SessionOptions;
  readonly #now: () => number;
  readonly #handshake: Handshake;
  readonly #commands: Commands;
  readonly #chunks: ChunkReader;
  #stage: Stage = 'handshake';
  /** When the stage's deadline began. */
  #since: number;
  #bytesAt: number;
  readonly #acknowledgements = new Acknowledgements();
  #publication: Publication | undefined;
  /** Whether a stream was ended in order. */
  #unpublished = false;
  /** What came while the authorisation was asked. */
  readonly #held: HeldMessages;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#since = this.#bytesAt = this.#now();
    this.#held = new HeldMessages(options.limits.maxEarlyBytes);
    const send = (bytes: Buffer) => this.#send(bytes);
    this.#handshake = new Handshake(send);
    this.#commands = new Commands(
      {
        send,
        publish: (streamId, app, name) => this.#publish(streamId, app, name),
        unpublish: (streamId) => this.#unpublish(streamId),
        refused: (reason) => this.close(`refused: ${reason}`, true),
      },
      options.rejection,
    );
    this.#chunks = new ChunkReader(
      {
        // Before anything is published no message needs to be large.
        maxBytes: (type) =>
          options.limits[this.#publication && isMedia(type) ? 'maxMessageBytes' : 'maxCommandBytes'],
        maxPendingBytes: () => options.limits[this.#stage === 'live' ? 'maxPendingBytes' : 'maxEarlyBytes'],
        maxChunkStreams: options.limits.maxChunkStreams,
      },
      (message) => this.#take(message),
    );
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** Bytes that came, and bytes that are held now: of unfinished messages and of those that wait. */
  get receivedBytes(): number {
    return this.#acknowledgements.receivedBytes;
  }
  get pendingBytes(): number {
    return this.#chunks.pendingBytes + this.#held.bytes;
  }

  /** Takes what came; the bytes are copied. Does not throw for anything a stranger can send. */
  receive(data: Buffer): void {
    if (this.#stage === 'closed') return;
    this.#bytesAt = this.#now();
    this.#acknowledgements.count(data.length);
    this.#guard(() => {
      let rest: Buffer | undefined = data;
      if (this.#stage === 'handshake') {
        rest = this.#handshake.feed(data);
        if (rest) this.#enter('commands');
      }
      if (rest) this.#chunks.feed(rest);
      const acknowledgement = this.#acknowledgements.due();
      if (acknowledgement) this.#send(acknowledgement);
    });
  }

  /** Holds the deadlines; to be called every few hundred ms. */
  check(): void {
    const now = this.#now();
    const elapsed = {
      stage: now - this.#since,
      bytes: now - this.#bytesAt,
      media: this.#publication?.silentMs ?? 0,
    };
    const reason = overdue(this.#stage, elapsed, this.#options.limits);
    if (reason === undefined) return;
    if (this.#stage === 'authorising') this.#refusePublish(reason);
    else this.close(reason, true);
  }

  /** The other side has hung up. */
  hungUp(how: string): void {
    if (this.#stage === 'live') this.close(`the sender ${how} in the middle of its stream`, false);
    else
      this.close(this.#unpublished ? 'the sender ended its stream and hung up' : `the sender ${how}`, false);
  }

  /** Ends it: the sink hears of it, and the connection is to be hung up. Later calls change nothing. */
  close(reason: string, notable: boolean, cause?: unknown): void {
    if (this.#stage === 'closed') return;
    this.#stage = 'closed';
    this.#held.release();
    this.#chunks.close();
    const told = this.#withoutKey(reason);
    try {
      this.#publication?.end(told, false);
    } finally {
      this.#options.output.closed({ reason: told, notable, ...(cause === undefined ? {} : { cause }) });
    }
  }

  #enter(stage: 'commands' | 'authorising' | 'live'): void {
    this.#stage = stage;
    this.#since = this.#now();
  }

  /** Ends the connection with what goes wrong. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof RtmpError) this.close(`breach of protocol: ${error.message}`, true);
      else this.close('internal error', true, error);
    }
  }

  #take(message: Message): void {
    if (this.#stage === 'closed') return;
    if (this.#stage === 'authorising') {
      this.#held.hold(message);
      return;
    }
    switch (message.type) {
      case MESSAGE.windowAcknowledgementSize:
        this.#acknowledgements.setWindow(message.payload);
        break;
      case MESSAGE.userControl:
        this.#userControl(message.payload);
        break;
      case MESSAGE.commandAmf0:
      case MESSAGE.commandAmf3:
        this.#commands.take(message);
        break;
      default:
        // What is no media is left out by it: acknowledgements, and Set Peer Bandwidth, as we send next to nothing.
        this.#publication?.take(message);
    }
  }

  #userControl(payload: Buffer): void {
    if (payload.length < 6 || payload.readUInt16BE(0) !== USER_CONTROL.pingRequest) return;
    this.#send(userControlMessage(USER_CONTROL.pingResponse, payload.readUInt32BE(2)));
  }

  #publish(streamId: number, app: string, name: string): void {
    if (this.#publication) {
      this.#commands.tell(
        streamId,
        'error',
        'NetStream.Publish.BadName',
        'one stream a connection, not more',
      );
      return;
    }
    const published = publishedName(app, name);
    if (!published) {
      const reason = 'there is no stream key, or none that can be; rtmp://host/app/key is expected';
      this.#commands.tell(streamId, 'error', 'NetStream.Publish.BadName', reason);
      this.close(`refused: ${reason}`, true);
      return;
    }
    const { remoteAddress, secure, authorise } = this.#options;
    this.#enter('authorising');
    this.#options.output.pause();
    this.#publication = new Publication(
      streamId,
      { ...published, remoteAddress, secure },
      {
        accepted: () => this.#accepted(streamId, published.app),
        refused: (reason, cause) => this.#refusePublish(reason, cause),
        unsupported: (reason) => this.#endPublish('NetStream.Publish.Rejected', reason, 'refused'),
        close: (reason) => this.#endPublish('NetStream.Publish.Rejected', reason, 'closed'),
      },
      this.#now,
    );
    void this.#publication.authorise(authorise);
  }

  #accepted(streamId: number, app: string): void {
    this.#enter('live');
    this.#options.output.accepted(app);
    this.#send(userControlMessage(USER_CONTROL.streamBegin, streamId));
    this.#commands.tell(streamId, 'status', 'NetStream.Publish.Start', 'publishing');
    const held = this.#held.release();
    this.#guard(() => {
      for (const message of held) this.#take(message);
    });
    this.#bytesAt = this.#now();
    this.#options.output.resume();
  }

  #refusePublish(reason: string, cause?: unknown): void {
    this.#endPublish('NetStream.Publish.BadName', reason, 'refused', cause);
  }

  #endPublish(code: string, reason: string, how: string, cause?: unknown): void {
    if (this.#stage === 'closed') return;
    const streamId = this.#publication?.streamId ?? 0;
    this.#commands.tell(streamId, 'error', code, this.#withoutKey(reason));
    this.close(`${how}: ${reason}`, how === 'refused', cause);
  }

  #unpublish(streamId: number | undefined): void {
    const publication = this.#publication;
    if (!publication || (streamId !== undefined && streamId !== publication.streamId)) return;
    this.#publication = undefined;
    this.#unpublished = true;
    this.#enter('commands');
    publication.end('the sender ended its stream', true);
    const over = publication.streamId;
    this.#commands.tell(over, 'status', 'NetStream.Unpublish.Success', 'the stream is over');
  }

  #send(bytes: Buffer): void {
    if (this.#stage !== 'closed') this.#options.output.send(bytes);
  }

  /** Whatever others put into a reason, the key stays a secret. */
  #withoutKey(reason: string): string {
    const key = this.#publication?.request.streamKey;
    return key === undefined ? reason : reason.replaceAll(key, '{key}');
  }
}

function isMedia(type: number): boolean {
  return type === MESSAGE.audio || type === MESSAGE.video || type === MESSAGE.aggregate;
}
