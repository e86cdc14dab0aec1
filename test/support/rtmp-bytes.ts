/** RTMP as a client writes it, by hand: chunks of every type, commands and whole sessions. */
import { encodeAmf0 } from '../../src/ingress/inputs/rtmp/amf0.ts';
import type { AmfValue } from '../../src/ingress/inputs/rtmp/amf0.ts';

export interface ChunkHeader {
  /** Type of the chunk, 0 to 3. */
  format: number;
  id: number;
  /** Absolute or delta, as the format wants. */
  time?: number;
  length?: number;
  type?: number;
  streamId?: number;
  /** Written after the header whatever the format and time say. */
  extended?: number;
}

/** A chunk's header; times from 0xffffff on get their extended timestamp. */
export function chunkHeader({
  format,
  id,
  time = 0,
  length = 0,
  type = 0,
  streamId = 0,
  extended,
}: ChunkHeader): Buffer {
  const basic =
    id < 64
      ? [(format << 6) | id]
      : id < 320
        ? [format << 6, id - 64]
        : [(format << 6) | 1, (id - 64) & 0xff, (id - 64) >> 8];
  const header = Buffer.alloc(11);
  header.writeUIntBE(Math.min(time, 0xffffff), 0, 3);
  header.writeUIntBE(length, 3, 3);
  header[6] = type;
  header.writeUInt32LE(streamId, 7);
  const more = Buffer.alloc(4);
  const hasMore = extended !== undefined || (format < 3 && time >= 0xffffff);
  more.writeUInt32BE(extended ?? (hasMore ? time : 0));
  return Buffer.concat([
    Buffer.from(basic),
    header.subarray(0, [11, 7, 3, 0][format]),
    hasMore ? more : Buffer.alloc(0),
  ]);
}

export interface ClientMessage {
  type: number;
  streamId: number;
  timestamp: number;
  payload: Buffer;
}

/** A message in chunks of type 0 and 3. */
export function messageBytes(id: number, message: ClientMessage, chunkSize = 128): Buffer {
  const { payload, timestamp } = message;
  const long = timestamp >= 0xffffff ? { extended: timestamp } : {};
  const parts = [
    chunkHeader({
      format: 0,
      id,
      time: timestamp,
      length: payload.length,
      type: message.type,
      streamId: message.streamId,
    }),
    payload.subarray(0, chunkSize),
  ];
  for (let at = chunkSize; at < payload.length; at += chunkSize) {
    parts.push(chunkHeader({ format: 3, id, ...long }), payload.subarray(at, at + chunkSize));
  }
  return Buffer.concat(parts);
}

/** C0, C1 (simple, or with a version as Flash writes before its digest) and C2. */
export function clientHandshake(flashVersion = 0): Buffer {
  const bytes = Buffer.alloc(1 + 2 * 1536, 0x5a);
  bytes[0] = 3;
  bytes.writeUInt32BE(1234, 1);
  bytes.writeUInt32BE(flashVersion, 5);
  return bytes;
}

export const control = (type: number, value: number): Buffer => {
  const payload = Buffer.alloc(type === 6 ? 5 : 4);
  payload.writeUInt32BE(value);
  return messageBytes(2, { type, streamId: 0, timestamp: 0, payload });
};

export function commandMessage(streamId: number, ...values: AmfValue[]): ClientMessage {
  return { type: 20, streamId, timestamp: 0, payload: encodeAmf0(...values) };
}

export const command = (streamId: number, ...values: AmfValue[]): Buffer =>
  messageBytes(3, commandMessage(streamId, ...values));

export function connectCommand(app: AmfValue = 'live', extra: [string, AmfValue][] = []): Buffer {
  return command(
    0,
    'connect',
    1,
    new Map<string, AmfValue>([
      ['app', app],
      ['type', 'nonprivate'],
      ['flashVer', 'FMLE/3.0 (compatible; FMSc/1.0)'],
      ['swfUrl', 'rtmp://127.0.0.1/live'],
      ['tcUrl', 'rtmp://127.0.0.1/live'],
      ...extra,
    ]),
  );
}

/** Handshake, connect, createStream and publish, as OBS orders them, all at once. */
export function publishBytes(key: string, app = 'live'): Buffer {
  return Buffer.concat([
    clientHandshake(),
    connectCommand(app),
    command(0, 'releaseStream', 2, null, key),
    command(0, 'FCPublish', 3, null, key),
    command(0, 'createStream', 4, null),
    command(1, 'publish', 5, null, key, 'live'),
  ]);
}

export const unpublishBytes = (key: string): Buffer =>
  Buffer.concat([command(0, 'FCUnpublish', 6, null, key), command(0, 'deleteStream', 7, null, 1)]);

export const metadataMessage = (): ClientMessage => ({
  type: 18,
  streamId: 1,
  timestamp: 0,
  payload: encodeAmf0(
    '@setDataFrame',
    'onMetaData',
    new Map<string, AmfValue>([
      ['width', 64],
      ['encoder', 'obs'],
    ]),
  ),
});

export const videoMessage = (timestamp: number, size = 40, key = false): ClientMessage => {
  const payload = Buffer.alloc(size, 0x11);
  payload.set([key ? 0x17 : 0x27, 1, 0, 0, 0]);
  return { type: 9, streamId: 1, timestamp, payload };
};

export const audioMessage = (timestamp: number, size = 20): ClientMessage => {
  const payload = Buffer.alloc(size, 0x22);
  payload.set([0xaf, 1]);
  return { type: 8, streamId: 1, timestamp, payload };
};

/** A second of media as OBS sends it: chunks of 4096, everything on chunk stream 4. */
export function obsLikeSession(key: string): Buffer {
  const parts = [publishBytes(key), control(1, 4096), messageBytes(4, metadataMessage(), 4096)];
  for (let frame = 0; frame < 30; frame++) {
    parts.push(messageBytes(4, videoMessage(frame * 33, frame === 0 ? 6000 : 300, frame === 0), 4096));
    parts.push(messageBytes(4, audioMessage(frame * 33 + 5), 4096));
  }
  return Buffer.concat([...parts, unpublishBytes(key)]);
}
