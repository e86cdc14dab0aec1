/** A broadcast out of made-up chunks: the sink an egress has, and the log it is made of. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { EgressInfo, EgressStatus, RoomCompositeEgressRequest } from '@livekit/protocol';
import { readLog } from '../../src/egress/log/reader.ts';
import type { SegmentLog } from '../../src/egress/log/reader.ts';
import type { Chunk } from '../../src/egress/log/types.ts';
import { SegmentLogWriter } from '../../src/egress/log/writer.ts';
import { planOfRecord } from '../../src/egress/plan/plan.ts';
import { SegmentsSink } from '../../src/egress/sinks/segments.ts';
import { StatusKeeper } from '../../src/egress/status.ts';
import { createNameClaims } from '../../src/store/name-claims.ts';
import type { Storage, StorageConfig } from '../../src/storage/index.ts';
import { makeChunks } from './chunks.ts';
import { EPOCH_MS, silent } from './log-fixtures.ts';
import type { UploadRig, UploadRigOptions } from './uploads.ts';

export interface Broadcast {
  egressId: string;
  /** As it is when the egress has ended. */
  log: () => Promise<SegmentLog>;
  chunks: Chunk[];
  status: StatusKeeper;
  config(s3: UploadRigOptions['s3']): StorageConfig;
  /** The sink, with nothing pushed yet. */
  open(storage: Storage): Promise<SegmentsSink>;
}

/** A room composite of `seconds` in its only attempt, recorded already, with 2-second segments under `<egress id>/`. */
export async function makeBroadcast(
  { store, uploads, redis }: UploadRig,
  spoolDir: string,
  options: { egressId: string; seconds: number; names: { segmentPrefix: string; playlist: string } },
): Promise<Broadcast> {
  const { egressId, seconds, names } = options;
  const logDir = join(spoolDir, egressId);
  mkdirSync(logDir, { recursive: true });
  const log = await SegmentLogWriter.open({
    ...{ dir: logDir, egressId, attempt: 1, epochMs: EPOCH_MS, container: 'mpegts', logger: silent },
  });
  const chunks: Chunk[] = [];
  log.onChunk((chunk) => chunks.push(chunk));
  for (const file of await makeChunks({ seconds, pattern: 'ball', folder: log.folder })) {
    await log.addChunk({ file, startNs: 0, durationNs: 0 });
  }
  const { earlier } = log;
  await log.close();
  await readLog(logDir);
  const request = new RoomCompositeEgressRequest({
    roomName: 'demo',
    layout: 'grid',
    segmentOutputs: [
      {
        filenamePrefix: `${egressId}/${names.segmentPrefix}`,
        playlistName: names.playlist,
        segmentDuration: 2,
      },
    ],
  });
  const info = new EgressInfo({ egressId, roomName: 'demo', status: EgressStatus.EGRESS_ACTIVE });
  await store.create({
    ...{ egressId, roomName: 'demo', requestType: 'RoomCompositeEgressRequest', trackKind: undefined },
    ...{ requestJson: request.toJsonString(), createdAtMs: Date.now(), bridgeUrl: 'ws://127.0.0.1:1/bridge' },
    ...{ info, desired: { revision: 0, streamUrls: [] } },
  });
  await store.begin(egressId, 1);
  const record = await store.get(egressId);
  if (!record) throw new Error(`there is no ${egressId}`);
  const plan = planOfRecord(record);
  const output = plan.outputs.find((each) => each.type === 'segments');
  if (!output) throw new Error('the plan has no segments');
  const status = new StatusKeeper({
    ...{ store, info: record.info.clone(), attempt: 1, appliedRevision: 0, logger: silent },
    onSuperseded: () => undefined,
  });
  return {
    egressId,
    chunks,
    log: () => readLog(logDir),
    status,
    config: (s3) => ({
      storage: {
        ...{ type: 's3', local: { path: join(spoolDir, 'local') } },
        s3: { ...s3, sessionToken: '', forcePathStyle: true },
      },
    }),
    open: (storage) =>
      SegmentsSink.open({
        ...{ output, index: 0, result: 0, storage, uploads, claims: createNameClaims(redis.shared) },
        context: {
          ...{ plan, record, attempt: 1, logDir, earlier, status, epochMs: EPOCH_MS, tracks: [] },
          program: { program: 'composite', container: 'mpegts', copyAudio: false, reason: 'a test' },
          room: { roomId: 'RM_1', name: 'demo', metadata: '' },
          assertCurrent: () => Promise.resolve(),
          logger: silent,
        },
        onFailure: (error) => {
          throw error;
        },
      }),
  };
}
