/** What an attempt needs, why it ends and how. */
import type { Logger } from 'pino';
import { BridgeCloseCode } from '../bridge/protocol.ts';
import type { EgressDesired, EgressRecord, EgressStore } from '../store/types.ts';
import type { PageFactory } from './page-source.ts';
import type { PipelineRunFactory } from './pipeline-run.ts';
import type { EgressPlan } from './plan/types.ts';
import type { SinksFactory } from './sinks/index.ts';
import type { StatusKeeper } from './status.ts';

/** How an attempt ended; only `ended` means that the egress is over. */
export type AttemptOutcome = 'ended' | 'superseded' | 'handed-over';

/** Why an attempt ends. */
export type Cause =
  | { type: 'finish'; reason: string }
  | { type: 'fail'; error: unknown }
  | { type: 'superseded' }
  | { type: 'limit'; reason: string }
  | { type: 'hand-over' };

/** Close codes of the bridge that say all there is to know. */
export const CLOSE_CAUSES: ReadonlyMap<number, Cause> = new Map<number, Cause>([
  [BridgeCloseCode.superseded, { type: 'superseded' }],
  [BridgeCloseCode.roomClosed, { type: 'finish', reason: 'Source closed' }],
  [BridgeCloseCode.removed, { type: 'finish', reason: 'Removed from the room' }],
]);

/** One attempt at an egress, for what does a part of it. */
export interface AttemptContext {
  deps: AttemptDeps;
  record: EgressRecord;
  attempt: number;
  status: StatusKeeper;
  logger: Logger;
  /** Ends the attempt; the first cause counts. */
  end: (cause: Cause) => void;
}

export interface AttemptDeps {
  store: EgressStore;
  logger: Logger;
  plan: EgressPlan;
  /** The plan with the outputs that are wanted now. @throws RequestError */
  planOf: (desired: EgressDesired) => EgressPlan;
  /** Address other machines reach this worker's RTP at. */
  workerAddress: string;
  portRange: { min: number; max: number } | undefined;
  /** Folder of this egress's segment log. */
  logDir: string;
  /** Access token for the bridge: this room, this identity. */
  bridgeToken: () => Promise<string>;
  startPipeline: PipelineRunFactory;
  /** Opens what a browser draws. */
  openPage: PageFactory;
  createSinks: SinksFactory;
  /** Removes the segment log; called when every output is safe in its storage. */
  discardLog: () => Promise<void>;
  /** Lets the log outlive uploads that are still to come; never throws. */
  keepLog: (reason: string) => Promise<void>;
}
