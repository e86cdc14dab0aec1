/** A session of the RTMP server without a socket, and a record of all it does. */
import { ChunkReader } from '../../src/ingress/inputs/rtmp/chunk-reader.ts';
import { decodeAmf0 } from '../../src/ingress/inputs/rtmp/amf0.ts';
import type { AmfObject, AmfValue } from '../../src/ingress/inputs/rtmp/amf0.ts';
import type { FlvTag } from '../../src/ingress/inputs/rtmp/flv.ts';
import { RtmpSession } from '../../src/ingress/inputs/rtmp/session.ts';
import type { SessionEnd } from '../../src/ingress/inputs/rtmp/session-types.ts';
import { DEFAULT_LIMITS } from '../../src/ingress/inputs/rtmp/types.ts';
import type {
  Authorise,
  PublishRequest,
  RtmpLimits,
  RtmpPublisher,
} from '../../src/ingress/inputs/rtmp/types.ts';

export interface Harness {
  session: RtmpSession;
  sent: Buffer[];
  tags: FlvTag[];
  /** Of the sink, and of the connection. */
  ends: { reason: string; orderly: boolean }[];
  closed: SessionEnd[];
  requests: PublishRequest[];
  publishers: RtmpPublisher[];
  /** `pause`, `resume`, `accepted live`. */
  calls: string[];
  clock: { now: number };
}

export function harness(
  options: { authorise?: Authorise; limits?: Partial<RtmpLimits>; rejection?: string } = {},
): Harness {
  const seen: Omit<Harness, 'session'> = {
    sent: [],
    tags: [],
    ends: [],
    closed: [],
    requests: [],
    publishers: [],
    calls: [],
    clock: { now: 1000 },
  };
  const accept: Authorise = async () => ({
    accept: {
      tag: (tag) => seen.tags.push(tag),
      end: (reason, orderly) => seen.ends.push({ reason, orderly }),
    },
  });
  const session = new RtmpSession({
    remoteAddress: '192.0.2.7',
    secure: false,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    authorise: (request, publisher) => {
      seen.requests.push(request);
      seen.publishers.push(publisher);
      return (options.authorise ?? accept)(request, publisher);
    },
    output: {
      send: (bytes) => seen.sent.push(bytes),
      pause: () => seen.calls.push('pause'),
      resume: () => seen.calls.push('resume'),
      accepted: (app) => seen.calls.push(`accepted ${app}`),
      closed: (end) => seen.closed.push(end),
    },
    ...(options.rejection === undefined ? {} : { rejection: options.rejection }),
    now: () => seen.clock.now,
  });
  return { session, ...seen };
}

/** Lets promises that are settled be heard of. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export interface Answer {
  type: number;
  streamId: number;
  payload: Buffer;
  /** Of commands. */
  command: AmfValue[] | undefined;
  /** `level`, `code` and `description` of commands that have them. */
  information: AmfObject | undefined;
}

/** What the server said, after its handshake (which must be whole when there is anything). */
export function answers(sent: readonly Buffer[]): Answer[] {
  const bytes = Buffer.concat(sent);
  const read: Answer[] = [];
  const reader = new ChunkReader(
    { maxBytes: () => 65_536, maxPendingBytes: () => 1e6, maxChunkStreams: 8 },
    ({ type, streamId, payload }) => {
      const command = type === 20 ? decodeAmf0(payload) : undefined;
      const last = command?.at(-1);
      read.push({ type, streamId, payload, command, information: last instanceof Map ? last : undefined });
    },
  );
  reader.feed(bytes.subarray(1 + 2 * 1536));
  return read;
}

/** `code: description` of every status and error the server sent. */
export const statuses = (sent: readonly Buffer[]): string[] =>
  answers(sent).flatMap(({ information }) => {
    const [code, description] = [information?.get('code'), information?.get('description')];
    return typeof code === 'string' && typeof description === 'string' ? [`${code}: ${description}`] : [];
  });
