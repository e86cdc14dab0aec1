/** What is kept in Redis about an ingress, and who may write which part. */
import type { IngressInfo, IngressState } from '@livekit/protocol';

/** One time a source is live in a room: from its connection (or creation, for a URL) to its end. */
export interface IngressSession {
  /** `IR_…`, new for every session. */
  resourceId: string;
  /**
   * The fence: the one attempt that may write and be in the room. Attempts grow over **all** ingresses of this Redis
   * (one counter), because another ingress may use the same participant identity.
   */
  attempt: number;
  /** What the worker runs. */
  source:
    /** Our RTMP server holds the publisher; the worker reads FLV from this URL (HTTP, Bearer access token). */
    | { type: 'relay'; url: string }
    /** The worker pulls `record.sourceUrl` itself. */
    | { type: 'url' }
    /** WHIP with transcoding: the publisher is in a room of its own on the SFU; the worker subscribes there. */
    | { type: 'room'; roomName: string; identity: string }
    /** WHIP without transcoding: no worker, the server keeps the state itself. */
    | { type: 'direct' };
  /** Bridge URL of the SFU node. */
  bridgeUrl: string;
  startedAtMs: number;
}

export interface IngressRecord {
  ingressId: string;
  /** What the API shows, state included; the URL of a URL input is redacted here. */
  info: IngressInfo;
  /** Empty for URL inputs. */
  streamKey: string;
  /** URL inputs: what is pulled, with its credentials; never shown, never logged. */
  sourceUrl: string;
  createdAtMs: number;
  /** Raised by every UpdateIngress. */
  revision: number;
  session: IngressSession | undefined;
}

/** `disabled`: `enabled` is false, or no room has been named yet. */
export type BeginRefusal = 'not_found' | 'disabled' | 'busy';

export interface IngressStore {
  /** @throws StoreError `already_exists` */
  create(record: Omit<IngressRecord, 'revision' | 'session'>): Promise<void>;
  get(ingressId: string): Promise<IngressRecord | undefined>;
  byStreamKey(streamKey: string): Promise<IngressRecord | undefined>;
  /** Whose session has (or had) this attempt. */
  byAttempt(attempt: number): Promise<IngressRecord | undefined>;
  /** Newest first. */
  list(filter?: { roomName?: string; ingressId?: string }): Promise<IngressInfo[]>;
  /**
   * Atomic read-change-write of what the API may change (never `state`, but an ERROR without a session becomes
   * INACTIVE, as in LiveKit). Wakes {@link onChange}. What `change` throws comes out here, and nothing is changed.
   */
  update(ingressId: string, change: (info: IngressInfo) => IngressInfo): Promise<IngressRecord | undefined>;
  /**
   * Takes it out of everything; answers what it was. Wakes {@link onChange} with undefined. A session that was live
   * gets its `ingress_ended` here, once: nothing can be saved any more.
   */
  delete(ingressId: string): Promise<IngressRecord | undefined>;

  /**
   * Begins a session with the next attempt of the one counter; the state becomes BUFFERING. Atomic: of two at once one
   * gets `busy`. A session whose lease has run out does not count.
   * @param leaseMs the caller renews the lease for as long as it holds the source; 0: it has none (URL inputs)
   */
  beginSession(
    ingressId: string,
    session: Omit<IngressSession, 'attempt'>,
    leaseMs: number,
  ): Promise<IngressSession | BeginRefusal>;
  /** False when this session is over. */
  renewLease(ingressId: string, resourceId: string, leaseMs: number): Promise<boolean>;
  /**
   * Ends the sessions that have been seen here without a lease for a while (their server was lost), each with its
   * `ingress_ended`; answers their ingresses' ids. To be called every few seconds by every server.
   */
  endLapsed(): Promise<string[]>;
  /** How many sessions are live. */
  liveSessions(): Promise<number>;
  /** Every ingress whose session was live a moment ago. */
  live(): Promise<IngressRecord[]>;
  /** A worker takes `attempt`. False when it is not the current one or the session is over. */
  begin(ingressId: string, attempt: number): Promise<boolean>;
  /**
   * Fenced: false, and nothing written, unless `attempt` is the live session's. The first PUBLISHING of a session
   * causes `ingress_started` (in the outbox, in the same step).
   */
  saveState(ingressId: string, attempt: number, state: IngressState): Promise<boolean>;
  /** Fenced, and only if the state is still `from`: for whoever is not the attempt's worker. */
  replaceState(ingressId: string, attempt: number, from: IngressState, state: IngressState): Promise<boolean>;
  /** Fenced. The session is over: its last state (INACTIVE, ERROR or COMPLETE), and `ingress_ended`. */
  endSession(ingressId: string, attempt: number, state: IngressState): Promise<boolean>;
  /** Moves the fence on: the session's next attempt, from the counter; undefined if somebody else did or it is over. */
  raiseAttempt(ingressId: string, from: number): Promise<number | undefined>;

  /**
   * Called with how it is now, and on each update; with undefined when it has been deleted, and then no more. State and
   * session change without a call.
   */
  onChange(ingressId: string, listener: (record: IngressRecord | undefined) => void): () => void;
  close(): Promise<void>;
}
