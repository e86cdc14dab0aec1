/** Aggregate messages (RTMP 1.0, section 7.1.6): FLV tags with their back pointers in one message. Pure. */
import { RtmpError } from './errors.ts';
import type { Message } from './message.ts';

const TAG_HEADER = 11;
const BACK_POINTER = 4;

/** The messages in it; their times are moved so that the first has the aggregate's. @throws RtmpError when cut off */
export function splitAggregate({ timestamp, streamId, payload }: Message): Message[] {
  const messages: Message[] = [];
  let offset: number | undefined;
  for (let at = 0; at < payload.length;) {
    const body = at + TAG_HEADER;
    if (body > payload.length) throw new RtmpError('an aggregate message ends within a header');
    const end = body + payload.readUIntBE(at + 1, 3);
    if (end > payload.length) throw new RtmpError('an aggregate message ends within one of its messages');
    const time = ((payload[at + 7] ?? 0) * 2 ** 24 + payload.readUIntBE(at + 4, 3)) >>> 0;
    offset ??= timestamp - time;
    messages.push({
      type: payload[at] ?? 0,
      streamId,
      timestamp: (time + offset) >>> 0,
      payload: payload.subarray(body, end),
    });
    // The last back pointer is left out by some.
    at = end + BACK_POINTER;
  }
  return messages;
}
