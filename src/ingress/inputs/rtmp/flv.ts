/** FLV as a file or an endless stream (Adobe Flash Video File Format 10.1, annex E). Pure. */

/** One piece of media or metadata. RTMP's audio, video and data messages have the same bodies as FLV's tags. */
export interface FlvTag {
  type: 'audio' | 'video' | 'data';
  /** ms, as the publisher says, with the wraps of 32 bits taken out: it may go on beyond 2^32. At least 0. */
  timestamp: number;
  /** Tag body. */
  payload: Buffer;
}

const TAG_TYPE = { audio: 8, video: 9, data: 18 } as const;
const TAG_HEADER = 11;
const MAX_BODY = 0xffffff;

/** File header, and the size of the tag before the first. */
export function flvHeader(has: { audio: boolean; video: boolean }): Buffer {
  return Buffer.from([
    0x46,
    0x4c,
    0x56,
    1,
    (has.audio ? 4 : 0) | (has.video ? 1 : 0),
    0,
    0,
    0,
    9,
    0,
    0,
    0,
    0,
  ]);
}

/**
 * Tag with the size after it. Of the timestamp, FLV has the lower 32 bits.
 * @throws RangeError for a body of 16 MiB or more
 */
export function flvTag({ type, timestamp, payload }: FlvTag): Buffer {
  if (payload.length > MAX_BODY)
    throw new RangeError(`an FLV tag holds at most ${MAX_BODY} bytes, not ${payload.length}`);
  const tag = Buffer.allocUnsafe(TAG_HEADER + payload.length + 4);
  const time = timestamp % 2 ** 32;
  tag[0] = TAG_TYPE[type];
  tag.writeUIntBE(payload.length, 1, 3);
  tag.writeUIntBE(time % 2 ** 24, 4, 3);
  tag[7] = Math.floor(time / 2 ** 24);
  tag.writeUIntBE(0, 8, 3);
  payload.copy(tag, TAG_HEADER);
  tag.writeUInt32BE(TAG_HEADER + payload.length, TAG_HEADER + payload.length);
  return tag;
}
