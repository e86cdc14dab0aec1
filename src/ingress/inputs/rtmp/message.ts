/** RTMP's messages: types, and the ones we send, written as chunks (RTMP 1.0, sections 5.3, 5.4, 6 and 7). Pure. */

export interface Message {
  type: number;
  /** Message stream: 0 is the connection's own. */
  streamId: number;
  /** ms, 32 bits. */
  timestamp: number;
  payload: Buffer;
}

export const MESSAGE = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  userControl: 4,
  windowAcknowledgementSize: 5,
  setPeerBandwidth: 6,
  audio: 8,
  video: 9,
  dataAmf3: 15,
  commandAmf3: 17,
  dataAmf0: 18,
  commandAmf0: 20,
  aggregate: 22,
} as const;

/** Events of user control messages (7.1.7). */
export const USER_CONTROL = { streamBegin: 0, streamEof: 1, pingRequest: 6, pingResponse: 7 } as const;

/** Until Set Chunk Size says otherwise. */
export const DEFAULT_CHUNK_SIZE = 128;
/** Chunk stream of protocol control messages. */
export const CONTROL_CHUNK_STREAM = 2;
/** Chunk stream of our commands. */
export const COMMAND_CHUNK_STREAM = 3;

/** A message in chunks of that size: type 0, then type 3. Timestamp 0, as none of ours has a time. */
export function writeMessage(
  chunkStream: number,
  message: Omit<Message, 'timestamp'>,
  chunkSize: number,
): Buffer {
  const { payload } = message;
  const header = Buffer.alloc(12);
  header[0] = chunkStream;
  header.writeUIntBE(payload.length, 4, 3);
  header[7] = message.type;
  header.writeUInt32LE(message.streamId, 8);
  const parts = [header, payload.subarray(0, chunkSize)];
  for (let at = chunkSize; at < payload.length; at += chunkSize) {
    parts.push(Buffer.from([0xc0 | chunkStream]), payload.subarray(at, at + chunkSize));
  }
  return Buffer.concat(parts);
}

/** Protocol control message with one number of 32 bits, and what may follow it. */
export function controlMessage(type: number, value: number, ...rest: number[]): Buffer {
  const payload = Buffer.alloc(4 + rest.length);
  payload.writeUInt32BE(value >>> 0, 0);
  payload.set(rest, 4);
  return writeMessage(CONTROL_CHUNK_STREAM, { type, streamId: 0, payload }, payload.length);
}

/** User control message with an event and one number. */
export function userControlMessage(event: number, value: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(event, 0);
  payload.writeUInt32BE(value >>> 0, 2);
  return writeMessage(
    CONTROL_CHUNK_STREAM,
    { type: MESSAGE.userControl, streamId: 0, payload },
    payload.length,
  );
}
