/** What makes an output of the log and the tap while an egress runs, and when it ends. */
import type { Logger } from 'pino';
import type { BridgeJoinResult } from '../../bridge/protocol.ts';
import type { Storage } from '../../storage/types.ts';
import type { EgressDesired, EgressRecord } from '../../store/types.ts';
import type { SegmentLog } from '../log/reader.ts';
import type { Chunk } from '../log/types.ts';
import type { ManifestPart } from '../manifest.ts';
import type { EgressPlan, StoragePlan } from '../plan/types.ts';
import type { TapOrigin } from '../pipeline-run.ts';
import type { Program } from '../program.ts';
import type { WantedTrack } from '../room/selection.ts';
import type { StatusKeeper } from '../status.ts';
import type { Uploads } from '../../uploads/index.ts';

export interface SinkContext {
  plan: EgressPlan;
  program: Program;
  record: EgressRecord;
  attempt: number;
  /** Folder of the segment log. */
  logDir: string;
  /** What earlier attempts have left in the log. */
  earlier: SegmentLog;
  status: StatusKeeper;
  /** Wall clock of egress-clock zero, ms. */
  epochMs: number;
  /** Tracks at the start; none when an earlier attempt's work is only brought to its end. */
  tracks: readonly WantedTrack[];
  room: BridgeJoinResult['room'];
  /**
   * Asked before each write into a storage: a worker that was held up may not write over its successor's.
   * @throws SupersededError, Superseded
   */
  assertCurrent: () => Promise<void>;
  logger: Logger;
}

/** One output. Calls come in the order chunk or tap (any number), finish, close. */
export interface Sink {
  /** A chunk was closed. */
  onChunk?(chunk: Chunk): void;
  /** Bytes as they leave a muxer, or samples. */
  onTap?(data: Buffer, origin: TapOrigin): void;
  /** The tracks that are recorded, or one's mute, have changed. */
  onTracks?(wanted: readonly WantedTrack[]): void;
  /** The API's wishes changed. */
  onDesired?(desired: EgressDesired): void;
  /** It is removed: it gets no more than the chunk that holds its end. Told once. */
  onEnding?(): void;
  /** No media comes any more: end what is live. Must not wait for the log. */
  endLive?(): Promise<void>;
  /**
   * The log is complete: make what is made of it. `pending`: its upload goes on, and needs what is on this machine.
   * @throws what ends the egress as FAILED
   */
  finish?(log: SegmentLog): Promise<'done' | 'pending'>;
  /** What it has stored, for the manifest; asked when it has finished or failed. */
  manifest?(): ManifestPart | undefined;
  /** Lets go of everything, finished or not. */
  close?(): Promise<void>;
}

/** Whose names are. */
export type { NameClaims } from '../../store/name-claims.ts';

/** What sinks need of the uploads. */
export type SinkUploads = Pick<Uploads, 'store' | 'queue' | 'openBackup' | 'waitMs'>;

export type StorageFactory = (plan: StoragePlan) => Storage;
