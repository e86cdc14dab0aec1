/** STUN binding requests as an ICE agent that controls sends them (RFC 8489, RFC 8445), framed for TCP (RFC 4571). */
import { createHmac, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const BINDING_REQUEST = 0x0001;
const MAGIC_COOKIE = 0x2112a442;

const attribute = (type: number, value: Buffer): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
};

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

/** @param username `<theirs>:<ours>`. @param password theirs */
export function framedBindingRequest(username: string, password: string): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(BINDING_REQUEST, 0);
  header.writeUInt32BE(MAGIC_COOKIE, 4);
  randomBytes(12).copy(header, 8);
  let body = Buffer.concat([
    attribute(0x0006, Buffer.from(username)),
    attribute(0x0024, uint32(1_845_494_271)),
    attribute(0x802a, randomBytes(8)),
    attribute(0x0025, Buffer.alloc(0)),
  ]);
  // Each covers everything before it, with the length as if it were the last.
  header.writeUInt16BE(body.length + 24, 2);
  const integrity = createHmac('sha1', password).update(header).update(body).digest();
  body = Buffer.concat([body, attribute(0x0008, integrity)]);
  header.writeUInt16BE(body.length + 8, 2);
  const fingerprint = crc32(Buffer.concat([header, body])) ^ 0x5354554e;
  const message = Buffer.concat([header, body, attribute(0x8028, uint32(fingerprint))]);
  const frame = Buffer.alloc(2);
  frame.writeUInt16BE(message.length);
  return Buffer.concat([frame, message]);
}
