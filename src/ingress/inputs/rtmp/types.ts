/** What the RTMP server and the one who runs it say to each other. */
import type { Logger } from 'pino';
import type { FlvTag } from './flv.ts';

/** Who wants to publish what. The stream key is a secret: it belongs in no log and no answer. */
export interface PublishRequest {
  /** First part of the URL's path, e.g. `live`; empty when the URL has none. */
  app: string;
  /** Last part of the path, without a query. Printable ASCII, 1 to 256 characters. */
  streamKey: string;
  remoteAddress: string;
  /** Whether it came over TLS. */
  secure: boolean;
}

/** What the accepted side may do with the connection. */
export interface RtmpPublisher {
  /** ms since audio or video last came (since it was accepted, before the first). */
  readonly silentMs: number;
  /** Tells the sender why and hangs up; its sink is ended. `reason` is shown to the sender and logged. */
  close(reason: string): void;
}

/** Where an accepted publisher's media goes. */
export interface MediaSink {
  tag(tag: FlvTag): void;
  /** Called exactly once, after the last tag. `orderly`: the sender said that it has finished. */
  end(reason: string, orderly: boolean): void;
}

/**
 * Decides before any media is taken. `refuse` is told to the sender and logged, so it must not show the key. A rejected
 * promise refuses too, without saying why.
 */
export type Authorise = (
  request: PublishRequest,
  publisher: RtmpPublisher,
) => Promise<{ accept: MediaSink } | { refuse: string }>;

export interface RtmpServerOptions {
  host: string;
  /** 0: any free port. */
  port: number;
  /** Given: RTMPS, TLS from the first byte. PEM. */
  tls?: { cert: Buffer; key: Buffer };
  authorise: Authorise;
  logger: Logger;
  limits?: Partial<RtmpLimits>;
}

export interface RtmpServer {
  readonly port: number;
  /** Open connections, whatever they have got to. */
  readonly connections: number;
  /** Ends every connection and listens no more. May be called more than once. */
  close(): Promise<void>;
}

export interface RtmpLimits {
  /** ms from the connection (TLS included) to the end of the RTMP handshake. */
  handshakeMs: number;
  /** ms from the handshake to an accepted publish. */
  publishMs: number;
  /** ms without a byte. */
  idleMs: number;
  /** ms without one whole audio or video message while publishing: ends those who only dribble. */
  mediaMs: number;
  /** ms the last words to a refused sender may take to arrive. */
  lingerMs: number;
  /** Bytes of an audio, video or aggregate message. */
  maxMessageBytes: number;
  /** Bytes of any other message. */
  maxCommandBytes: number;
  /** Bytes held of unfinished messages while publishing. */
  maxPendingBytes: number;
  /** The same before a stream is accepted, and of the messages that wait for that: anybody may come so far. */
  maxEarlyBytes: number;
  maxChunkStreams: number;
  /** Bytes of answers the other side has not taken. */
  maxUnreadBytes: number;
  maxConnections: number;
  maxConnectionsPerAddress: number;
}

export const DEFAULT_LIMITS: Readonly<RtmpLimits> = {
  handshakeMs: 5000,
  publishMs: 10_000,
  idleMs: 15_000,
  mediaMs: 30_000,
  lingerMs: 2000,
  maxMessageBytes: 8 * 1024 * 1024,
  maxCommandBytes: 64 * 1024,
  maxPendingBytes: 16 * 1024 * 1024,
  maxEarlyBytes: 1024 * 1024,
  maxChunkStreams: 64,
  maxUnreadBytes: 64 * 1024,
  maxConnections: 1000,
  maxConnectionsPerAddress: 100,
};
