/** An attempt at an egress of a page, with everything of its own real but the browser, the pipeline and the store. */
import { EgressInfo, WebEgressRequest } from '@livekit/protocol';
import { EgressAttempt } from '../../src/egress/attempt.ts';
import type { AttemptDeps } from '../../src/egress/attempt-types.ts';
import type { PipelineRunOptions, RunningPipeline } from '../../src/egress/pipeline-run.ts';
import { planOfRecord } from '../../src/egress/plan/plan.ts';
import { createSinks } from '../../src/egress/sinks/index.ts';
import type { NameClaims, SinkUploads } from '../../src/egress/sinks/types.ts';
import { StorageError } from '../../src/storage/types.ts';
import type { StoragePlan } from '../../src/storage/types.ts';
import type { AddedOutput, EgressDesired, EgressRecord, EgressStore } from '../../src/store/types.ts';
import type { WebSource } from '../../src/web-source/index.ts';
import { MemoryStorage, silent } from './log-fixtures.ts';
import { until } from './takeover.ts';

export interface AttemptRigOptions {
  /** Folder of the segment log. */
  dir: string;
  /** The request, as JSON; a page that is streamed by default. */
  request?: { fileOutputs?: object[]; streamOutputs?: object[] };
  desired?: Partial<EgressDesired>;
  /** Which attempt it is, and what the one before has left. */
  attempt?: number;
  epochMs?: number;
  /** In place of what a pipeline does that works. */
  pipeline?: Partial<RunningPipeline>;
  page?: Partial<Pick<WebSource, 'close'>>;
  claims?: NameClaims;
}

export const STREAM = 'rtmp://127.0.0.1:1/live/a';

/** An output as AddOutput keeps it. */
export function added(outputId: string, type: AddedOutput['type'], json: object): AddedOutput {
  return { outputId, type, json: JSON.stringify(json), fromMs: Date.now() };
}

/** Starts the attempt; it is over when `outcome` settles. Storages that a request names are refused. */
export function startAttempt(options: AttemptRigOptions) {
  const { dir, attempt = 1, epochMs } = options;
  const request = options.request ?? { streamOutputs: [{ urls: [STREAM] }] };
  let desired: EgressDesired = { revision: 1, streamUrls: [], ...options.desired };
  let wish: (desired: EgressDesired) => void = () => undefined;
  const record: EgressRecord = {
    ...{ egressId: 'EG_1', roomName: '', requestType: 'WebEgressRequest', trackKind: undefined },
    requestJson: JSON.stringify({ url: 'http://127.0.0.1/', ...request }),
    ...{ createdAtMs: Date.now(), info: new EgressInfo({ egressId: 'EG_1' }), desired, attempt },
    ...{ appliedRevision: 0, epochMs, bridgeUrl: 'ws://127.0.0.1:1/bridge' },
  };
  if (!WebEgressRequest.fromJsonString(record.requestJson)) throw new Error('not a request');
  /** What the store has of it. */
  const saved = { info: record.info, appliedRevision: 0 };
  const runs: PipelineRunOptions[] = [];
  const storages: (MemoryStorage & { closed?: boolean })[] = [];
  const store = {
    get: () => Promise.resolve({ ...record, ...saved, desired }),
    setEpoch: (_id: string, _attempt: number, atMs: number) => Promise.resolve(epochMs ?? atMs),
    saveInfo: (_id: string, _attempt: number, info: EgressInfo, appliedRevision: number) => {
      Object.assign(saved, { info, appliedRevision });
      return Promise.resolve(true);
    },
    onDesired: (_id: string, listener: typeof wish) => {
      wish = listener;
      return () => undefined;
    },
  };
  const pipeline: RunningPipeline = {
    ...{ pid: undefined, sync: () => undefined, cut: () => undefined },
    ...{ flowing: () => Promise.resolve(), openTap: () => Promise.resolve() },
    ...{ stop: () => Promise.resolve(), kill: () => Promise.resolve() },
    ...options.pipeline,
  };
  const page = {
    ...{ open: () => Promise.resolve(), close: () => Promise.resolve() },
    ...{ surface: () => Promise.reject(new Error('there is no browser')) },
    tellLayout: () => Promise.resolve(),
    ...options.page,
  };
  const uploads = { store: () => Promise.resolve({ state: 'pending' }), queue: () => Promise.resolve() };
  const storageFor = (plan: StoragePlan) => {
    if (plan.type === 's3') throw new StorageError('user', 400, 'an endpoint of its own needs access_key');
    const storage: (typeof storages)[number] = new MemoryStorage();
    storage.close = () => Promise.resolve(void (storage.closed = true));
    storages.push(storage);
    return storage;
  };
  const deps: AttemptDeps = {
    ...{ store: store as unknown as EgressStore, logger: silent, logDir: dir },
    plan: planOfRecord(record),
    planOf: (latest) => planOfRecord({ ...record, desired: latest }),
    ...{ workerAddress: '127.0.0.1', portRange: undefined },
    bridgeToken: () => Promise.reject(new Error('a page has no room')),
    startPipeline: (run) => {
      runs.push(run);
      return Promise.resolve(pipeline);
    },
    openPage: () => Promise.resolve(page as unknown as WebSource),
    createSinks: (context, callbacks) =>
      createSinks(context, callbacks, {
        ...{ storageFor, uploads: uploads as unknown as SinkUploads },
        policy: { resolve: () => Promise.resolve('127.0.0.1') },
        claims: options.claims ?? { claim: () => Promise.resolve('ours') },
      }),
    discardLog: () => Promise.resolve(),
    keepLog: () => Promise.resolve(),
  };
  const running = new EgressAttempt(record, attempt, deps);
  const outcome = running.run();
  outcome.catch(() => undefined);
  return {
    ...{ running, outcome, saved, runs, storages },
    /** Resolves when it records. */
    active: () => until('active', () => saved.info.startedAt > 0n),
    /** As the API does it. */
    change(change: Partial<EgressDesired>) {
      desired = { ...desired, ...change, revision: desired.revision + 1 };
      wish(desired);
    },
    applied: (revision: number) =>
      until(`applied ${revision}`, () => saved.appliedRevision >= revision, 3000),
  };
}
