/**
 * The commands of a publisher (RTMP 1.0, section 7.2, and what Flash Media Live Encoder added to it), answered. What
 * they lead to is the session's.
 */
import { decodeAmf0, encodeAmf0 } from './amf0.ts';
import type { AmfValue } from './amf0.ts';
import { RtmpError } from './errors.ts';
import {
  COMMAND_CHUNK_STREAM,
  controlMessage,
  DEFAULT_CHUNK_SIZE,
  MESSAGE,
  writeMessage,
} from './message.ts';
import type { Message } from './message.ts';

export interface CommandEvents {
  send(bytes: Buffer): void;
  /** `app` of connect and the name of publish, as they came. */
  publish(streamId: number, app: string, name: string): void;
  /** The sender says that a stream is over; undefined: whichever there is. */
  unpublish(streamId: number | undefined): void;
  /** Something was asked that ends the connection; the sender has been told. */
  refused(reason: string): void;
}

/** Chunk size of what we send, after it was announced. */
const CHUNK_SIZE = 4096;
/** Bytes after which the sender is to acknowledge, and be acknowledged: as everybody has it. */
const WINDOW = 2_500_000;
const DYNAMIC = 2;
/** Message streams open at once: one is used. */
const MAX_STREAMS = 8;
const PLAYER_COMMANDS: ReadonlySet<string> = new Set([
  'play',
  'play2',
  'pause',
  'pauseRaw',
  'seek',
  'receiveAudio',
  'receiveVideo',
]);
/** Answers to what we said, and others that want none. */
const NO_ANSWER: ReadonlySet<string> = new Set(['_result', '_error', 'onStatus', 'onBWDone']);

export class Commands {
  readonly #events: CommandEvents;
  readonly #rejection: string | undefined;
  readonly #streams = new Set<number>();
  #app: string | undefined;
  #lastStream = 0;

  /** `rejection`: every connect is answered with it. */
  constructor(events: CommandEvents, rejection: string | undefined) {
    this.#events = events;
    this.#rejection = rejection;
  }

  /** @throws RtmpError for what is no command, or comes before connect */
  take(message: Message): void {
    // AMF3's command message has AMF0 in it, after a byte that says so.
    const amf3 = message.type === MESSAGE.commandAmf3 && message.payload[0] === 0;
    const [name, transaction, object, ...args] = decodeAmf0(message.payload.subarray(amf3 ? 1 : 0));
    if (typeof name !== 'string') throw new RtmpError('a command without a name');
    const id = typeof transaction === 'number' ? transaction : 0;
    if (name === 'connect') this.#connect(id, object);
    else if (this.#app === undefined) throw new RtmpError(`the command ${shown(name)} came before connect`);
    else this.#command(name, id, args, message.streamId, this.#app);
  }

  /** Tells the sender how it is with a stream. */
  tell(streamId: number, level: 'status' | 'error', code: string, description: string): void {
    this.#write(streamId, encodeAmf0('onStatus', 0, null, status(level, code, description)));
  }

  #command(name: string, id: number, args: AmfValue[], streamId: number, app: string): void {
    switch (name) {
      case 'createStream':
        this.#createStream(id);
        return;
      case 'publish':
        this.#publish(streamId, app, args[0]);
        return;
      case 'releaseStream':
        this.#result(id, null, undefined);
        return;
      case 'FCPublish':
        this.#result(id, null, undefined);
        this.#invoke('onFCPublish', 0, null, status('status', 'NetStream.Publish.Start', 'publish now'));
        return;
      case 'FCUnpublish':
        this.#events.unpublish(undefined);
        this.#result(id, null, undefined);
        return;
      case 'deleteStream':
        if (typeof args[0] === 'number') this.#closeStream(args[0]);
        return;
      case 'closeStream':
        this.#closeStream(streamId);
        return;
      default:
        this.#other(name, id, streamId);
    }
  }

  #connect(id: number, properties: AmfValue): void {
    if (this.#app !== undefined) throw new RtmpError('connect came twice');
    const app = properties instanceof Map ? properties.get('app') : undefined;
    const rejection = this.#rejection ?? (typeof app === 'string' ? undefined : 'connect names no app');
    if (typeof app !== 'string' || rejection !== undefined) {
      const reason = rejection ?? '';
      this.#invoke('_error', id, null, status('error', 'NetConnection.Connect.Rejected', reason));
      this.#events.refused(reason);
      return;
    }
    this.#app = app;
    this.#events.send(controlMessage(MESSAGE.windowAcknowledgementSize, WINDOW));
    this.#events.send(controlMessage(MESSAGE.setPeerBandwidth, WINDOW, DYNAMIC));
    this.#events.send(controlMessage(MESSAGE.setChunkSize, CHUNK_SIZE));
    this.#result(
      id,
      new Map<string, AmfValue>([
        ['fmsVer', 'FMS/3,0,1,123'],
        ['capabilities', 31],
      ]),
      new Map<string, AmfValue>([
        ...status('status', 'NetConnection.Connect.Success', 'connected'),
        // Whatever was asked for: commands are AMF0 here.
        ['objectEncoding', 0],
      ]),
    );
  }

  #createStream(id: number): void {
    if (this.#streams.size >= MAX_STREAMS) throw new RtmpError(`more than ${MAX_STREAMS} message streams`);
    this.#streams.add(++this.#lastStream);
    this.#result(id, null, this.#lastStream);
  }

  #publish(streamId: number, app: string, name: AmfValue): void {
    if (!this.#streams.has(streamId)) {
      this.#refuse(streamId, 'NetStream.Publish.BadName', 'publish needs a stream that createStream gave');
      return;
    }
    this.#events.publish(streamId, app, typeof name === 'string' ? name : '');
  }

  #closeStream(streamId: number): void {
    if (this.#streams.delete(streamId)) this.#events.unpublish(streamId);
  }

  #other(name: string, id: number, streamId: number): void {
    if (PLAYER_COMMANDS.has(name)) {
      this.#refuse(
        streamId,
        'NetStream.Play.Failed',
        `${name} is not supported: streams are taken here, not played`,
      );
      return;
    }
    if (id === 0 || NO_ANSWER.has(name)) return;
    const what = `the command ${shown(name)} is not supported`;
    this.#invoke('_error', id, null, status('error', 'NetConnection.Call.Failed', what));
  }

  /** Tells why not, and ends the connection. */
  #refuse(streamId: number, code: string, reason: string): void {
    this.tell(streamId, 'error', code, reason);
    this.#events.refused(reason);
  }

  #result(id: number, properties: AmfValue, information: AmfValue): void {
    this.#invoke('_result', id, properties, information);
  }

  #invoke(...values: AmfValue[]): void {
    this.#write(0, encodeAmf0(...values));
  }

  #write(streamId: number, payload: Buffer): void {
    // The chunk size is announced when connect is answered.
    const size = this.#app === undefined ? DEFAULT_CHUNK_SIZE : CHUNK_SIZE;
    const message = { type: MESSAGE.commandAmf0, streamId, payload };
    this.#events.send(writeMessage(COMMAND_CHUNK_STREAM, message, size));
  }
}

function status(level: string, code: string, description: string): Map<string, AmfValue> {
  return new Map([
    ['level', level],
    ['code', code],
    ['description', description],
  ]);
}

/** A command's name as it may be shown: short, and of letters. */
function shown(name: string): string {
  return /^[A-Za-z_]{1,32}$/.test(name) ? name : '(unreadable)';
}
