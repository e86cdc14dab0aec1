/** What is kept in Redis about an egress, and who may write which part. */
import type { EgressInfo } from '@livekit/protocol';
import type { EgressDesired, TrackRole } from './desired.ts';

export type { AddedOutput, EgressDesired, Marker, TrackRole } from './desired.ts';

export interface EgressRecord {
  egressId: string;
  roomName: string;
  /** Name of the request's message, e.g. `RoomCompositeEgressRequest`. */
  requestType: string;
  /** Proto JSON of the request as it came, secrets included: never shown, never logged. */
  requestJson: string;
  /** JSON of Sluice's own options; missing: none. They may hold secrets, as the request does. */
  optionsJson?: string | undefined;
  /** TrackEgressRequest: kind of its track, as it was in the room; the request does not say. */
  trackKind: 'audio' | 'video' | undefined;
  /** By the id that was asked for: a later attempt may find the tracks of named ones under new ids only. */
  trackRoles?: Readonly<Record<string, TrackRole>> | undefined;
  /** Wall clock of the request, ms since the epoch: `{time}` and `{utc}` in file names, the same in every attempt. */
  createdAtMs: number;
  info: EgressInfo;
  desired: EgressDesired;
  /** The one attempt that may write (the fence); 0 before any worker took the job. */
  attempt: number;
  /** Revision of `desired` the worker has acted on. */
  appliedRevision: number;
  /** Wall clock of egress-clock zero, ms; set by the first attempt that starts. */
  epochMs: number | undefined;
  /** Bridge URL of the SFU node that holds the room, e.g. ws://127.0.0.1:7880/bridge. */
  bridgeUrl: string;
}

export interface EgressStore {
  /** @throws StoreError `already_exists` */
  create(record: Omit<EgressRecord, 'attempt' | 'appliedRevision' | 'epochMs'>): Promise<void>;
  get(egressId: string): Promise<EgressRecord | undefined>;
  /** Newest first. Ended egresses are kept for 24 h. */
  list(filter?: { roomName?: string; active?: boolean }): Promise<EgressInfo[]>;
  /** Every egress that has not ended, and the attempt that may write; 0 before any worker took the job. */
  unfinished(): Promise<{ egressId: string; attempt: number }[]>;
  /** A worker takes `attempt`. False when a newer attempt exists or the egress has ended. */
  begin(egressId: string, attempt: number): Promise<boolean>;
  /**
   * Fenced: false, and nothing written, unless `attempt` is the current one and the egress has not ended. An info whose
   * status is an ended one ends it.
   */
  saveInfo(egressId: string, attempt: number, info: EgressInfo, appliedRevision: number): Promise<boolean>;
  /** Sets egress-clock zero once; answers the value in force, or undefined when fenced. */
  setEpoch(egressId: string, attempt: number, epochMs: number): Promise<number | undefined>;
  /** Moves the fence from `from` to `from + 1`; answers the new attempt, or undefined if somebody else did or it has ended. */
  raiseAttempt(egressId: string, from: number): Promise<number | undefined>;
  /** Atomic read-change-write of `desired`; undefined when there is no such egress. Wakes {@link onDesired}. */
  changeDesired(
    egressId: string,
    change: (desired: EgressDesired) => EgressDesired,
  ): Promise<EgressRecord | undefined>;
  /**
   * Changes the info of an egress that has ended: its upload has come to an end. `running`, and nothing changed, when it
   * has not ended; `unknown` when there is no such egress.
   */
  amendEnded(
    egressId: string,
    change: (info: EgressInfo) => void,
  ): Promise<'amended' | 'running' | 'unknown'>;
  /** Writes the info of an egress no worker has taken; nobody is sent a webhook. False when one has. */
  saveUntaken(egressId: string, info: EgressInfo): Promise<boolean>;
  /** Ends an egress no worker has taken. False when one has. */
  abortUntaken(egressId: string, info: EgressInfo): Promise<boolean>;
  /**
   * Called with the latest `desired` on each change, and with the present one when the subscription is in force: at
   * first, and again after a reconnect to Redis. Revisions never go back.
   */
  onDesired(egressId: string, listener: (desired: EgressDesired) => void): () => void;
  /**
   * Called whenever EgressInfo changed, by any process that is connected at that moment. What must not miss a change
   * (webhooks) reads the outbox instead, which is written in the same step.
   */
  onInfo(listener: (info: EgressInfo) => void): () => void;
  close(): Promise<void>;
}
