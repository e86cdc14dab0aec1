/** The sinks of a room composite with one broadcast, on a storage in memory, as one attempt has them. */
import { join } from 'node:path';
import { EgressInfo, EgressStatus, RoomCompositeEgressRequest } from '@livekit/protocol';
import { attemptDir } from '../../src/egress/log/files.ts';
import type { Chunk } from '../../src/egress/log/types.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import type { EgressPlan } from '../../src/egress/plan/types.ts';
import { planOfRecord } from '../../src/egress/plan/plan.ts';
import { createSinks } from '../../src/egress/sinks/index.ts';
import type { Sinks } from '../../src/egress/sinks/index.ts';
import { StatusKeeper } from '../../src/egress/status.ts';
import type { Storage } from '../../src/storage/types.ts';
import type { EgressRecord, EgressStore } from '../../src/store/types.ts';
import type { Upload } from '../../src/uploads/index.ts';
import { silent, writeChunk } from './log-fixtures.ts';
import { localPolicy } from './uploads.ts';

export const EGRESS_ID = 'EG_1';
/** Of the broadcast. */
export const OUTPUT_ID = 'segments';

export interface BroadcastSinksOptions {
  dir: string;
  attempt: number;
  epochMs: number;
  storage: Storage;
  backup?: Storage;
  /** How long the end waits for the storage, ms. */
  waitMs?: number;
  /** Wall clock of the broadcast's end, ms: it was removed before this attempt. */
  removedMs?: number;
  lowLatency?: boolean;
  /** What an earlier attempt has told. */
  info?: EgressInfo;
}

export interface BroadcastSinks {
  sinks: Sinks;
  log: SegmentLogWriter;
  info: EgressInfo;
  /** Of the request. */
  plan: EgressPlan;
  /** What was left to the background. */
  queued: Upload[];
  failures: Error[];
  /** Where the attempt's chunk of this number is, or grows. */
  pathOf(number: number): string;
  /** Closes a chunk of two seconds into the log. @param at second it begins at; default: behind chunks like it */
  addChunk(number: number, at?: number): Promise<void>;
}

/** Segments of 4 s, `seg_*` and `list.m3u8`. */
export async function broadcastSinks(options: BroadcastSinksOptions): Promise<BroadcastSinks> {
  const { dir, attempt, epochMs, storage, backup, waitMs = 2000, removedMs, lowLatency = false } = options;
  const log = await SegmentLogWriter.open({
    ...{ dir, egressId: EGRESS_ID, attempt, epochMs, container: 'mpegts', logger: silent },
  });
  const { info = new EgressInfo({ egressId: EGRESS_ID, status: EgressStatus.EGRESS_ACTIVE }) } = options;
  const record: EgressRecord = {
    ...{ egressId: EGRESS_ID, roomName: 'demo', requestType: 'RoomCompositeEgressRequest', attempt, info },
    requestJson: new RoomCompositeEgressRequest({
      ...{ roomName: 'demo', layout: 'grid' },
      segmentOutputs: [
        { filenamePrefix: 'seg', playlistName: 'list', segmentDuration: 4, disableManifest: true },
      ],
    }).toJsonString(),
    ...(lowLatency && { optionsJson: JSON.stringify({ hls: { low_latency: true } }) }),
    ...{ trackKind: undefined, createdAtMs: epochMs, appliedRevision: 0, epochMs },
    bridgeUrl: 'ws://127.0.0.1:1/bridge',
    desired: {
      ...{ revision: 0, streamUrls: [] },
      ...(removedMs !== undefined && { removedOutputs: { [OUTPUT_ID]: removedMs } }),
    },
  };
  const store = { saveInfo: async () => true, get: async () => record } as unknown as EgressStore;
  const status = new StatusKeeper({
    ...{ store, info, attempt, appliedRevision: 0, logger: silent, onSuperseded: () => undefined },
  });
  const plan = planOfRecord(record);
  const queued: Upload[] = [];
  const failures: Error[] = [];
  const sinks = await createSinks(
    {
      ...{ plan, record, attempt, logDir: dir, earlier: log.earlier, status, epochMs },
      program: { program: 'composite', container: 'mpegts', copyAudio: false, reason: 'a test' },
      ...{ tracks: [], room: { roomId: 'RM_1', name: 'demo', metadata: '' }, logger: silent },
      assertCurrent: () => status.assertCurrent(),
    },
    { onFailure: (error) => failures.push(error), onNothingLeft: () => undefined },
    {
      storageFor: () => storage,
      uploads: {
        ...{ waitMs, openBackup: backup && (() => backup) },
        store: () => Promise.reject(new Error('nothing is stored whole here')),
        queue: async (upload) => void queued.push(upload),
      },
      policy: localPolicy,
      claims: { claim: async () => 'new' },
    },
  );
  log.onChunk((chunk: Chunk) => sinks.onChunk(chunk));
  const nameOf = (number: number) => `r0-${String(number).padStart(6, '0')}.ts`;
  const pathOf = (number: number) => join(attemptDir(dir, attempt), nameOf(number));
  return {
    ...{ sinks, log, info, plan, queued, failures, pathOf },
    async addChunk(number, at = number * 2) {
      await writeChunk(pathOf(number), at);
      await log.addChunk({ file: nameOf(number), startNs: at * 1e9, durationNs: 2e9 });
    },
  };
}
