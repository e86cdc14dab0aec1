/**
 * One attempt at an egress: from the job that was taken to the finished outputs. It joins the room, runs the
 * pipeline (again, when it dies), writes the segment log, and lets the sinks make of it what was asked for.
 */
import { writeFile } from 'node:fs/promises';
import { EgressStatus } from '@livekit/protocol';
import type { Logger } from 'pino';
import { BridgeRequestError, connectBridge } from '../bridge/client.ts';
import type { BridgeClient } from '../bridge/client.ts';
import { BridgeCloseCode } from '../bridge/protocol.ts';
import type { BridgeEvent, BridgeJoinResult } from '../bridge/protocol.ts';
import type { PipelineEvent } from '../../pipelines/shared/protocol.ts';
import type { EgressDesired, EgressRecord, EgressStore } from '../store/types.ts';
import { EgressAborted, EgressError } from './errors.ts';
import { attemptDir, chunkPattern, pidPath } from './log/files.ts';
import type { EventLine } from './log/types.ts';
import { readLog } from './log/reader.ts';
import { SegmentLogWriter, SupersededError } from './log/writer.ts';
import { endLeftover } from './leftover.ts';
import type { PipelineRun, PipelineRunFactory } from './pipeline-run.ts';
import type { EgressPlan } from './plan-types.ts';
import { chooseProgram, isReadable } from './program.ts';
import type { Program } from './program.ts';
import { rtpPath } from './rtp-path.ts';
import { selectTracks } from './selection.ts';
import type { TrackRole, WantedTrack } from './selection.ts';
import type { Sinks, SinksFactory } from './sinks/index.ts';
import { StatusKeeper, Superseded } from './status.ts';

/** Named tracks that are not there (yet, or any more) are waited for this long. */
const TRACK_GRACE_MS = 10_000;
/** A pipeline that dies is started again, at most `MAX_RESTARTS` times within the window. */
const MAX_RESTARTS = 5;
const RESTART_WINDOW_MS = 60_000;
const RESTART_DELAY_MS = 200;
/** The SFU needs a moment to notice a lost bridge and to raise the attempt. */
const BRIDGE_LOST_WAIT_MS = 3000;
/** The SFU may be restarting, or the network may have a bad moment. */
const JOIN_TRIES = 5;
const JOIN_RETRY_MS = 1000;
/** Time for the pipeline to flush what it has received. */
const PIPELINE_STOP_MS = 10_000;

/** How an attempt ended; only `ended` means that the egress is over. */
export type AttemptOutcome = 'ended' | 'superseded' | 'handed-over';

type Cause =
  | { type: 'finish'; reason: string }
  | { type: 'fail'; error: unknown }
  | { type: 'superseded' }
  | { type: 'hand-over' };

/** Close codes of the bridge that say all there is to know. */
const CLOSE_CAUSES: ReadonlyMap<number, Cause> = new Map<number, Cause>([
  [BridgeCloseCode.superseded, { type: 'superseded' }],
  [BridgeCloseCode.roomClosed, { type: 'finish', reason: 'Source closed' }],
  [BridgeCloseCode.removed, { type: 'finish', reason: 'Removed from the room' }],
]);

export interface AttemptDeps {
  store: EgressStore;
  logger: Logger;
  plan: EgressPlan;
  /** Address other machines reach this worker's RTP at. */
  workerAddress: string;
  portRange: { min: number; max: number } | undefined;
  /** Folder of this egress's segment log. */
  logDir: string;
  /** Access token for the bridge: this room, this identity. */
  bridgeToken: () => Promise<string>;
  startPipeline: PipelineRunFactory;
  createSinks: SinksFactory;
  /** Removes the segment log; called when every output is safe in its storage. */
  discardLog: () => Promise<void>;
}

export class EgressAttempt {
  readonly #deps: AttemptDeps;
  readonly #record: EgressRecord;
  readonly #attempt: number;
  readonly #logger: Logger;
  readonly #status: StatusKeeper;
  readonly #cause = Promise.withResolvers<Cause>();
  readonly #roles = new Map<string, TrackRole>();
  readonly #leftOut = new Set<string>();
  readonly #restarts: number[] = [];
  #desired: EgressDesired;
  #ended = false;
  #bridge: BridgeClient | undefined;
  #log: SegmentLogWriter | undefined;
  #run: PipelineRun | undefined;
  #runs = 0;
  #sinks: Sinks | undefined;
  #program: Program | undefined;
  #epochMs = 0;
  #sourceGone: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  constructor(record: EgressRecord, attempt: number, deps: AttemptDeps) {
    this.#deps = deps;
    this.#record = record;
    this.#attempt = attempt;
    this.#desired = record.desired;
    this.#logger = deps.logger.child({ egressId: record.egressId, room: record.roomName, attempt });
    this.#status = new StatusKeeper({
      store: deps.store,
      info: record.info.clone(),
      attempt,
      appliedRevision: record.appliedRevision,
      logger: this.#logger,
      onSuperseded: () => this.#end({ type: 'superseded' }),
    });
  }

  /** Ends the egress in order, as StopEgress does. */
  stop(reason: string): void {
    this.#end({ type: 'finish', reason });
  }

  /** Leaves the egress to another worker: everything received so far stays in the log. */
  handOver(): void {
    this.#end({ type: 'hand-over' });
  }

  /** Never throws: what goes wrong ends the egress, and is in its info. */
  async run(): Promise<AttemptOutcome> {
    const stopListening = this.#deps.store.onDesired(this.#record.egressId, (desired) =>
      this.#onDesired(desired),
    );
    try {
      this.#onDesired(this.#desired);
      const started = this.#start().catch((error: unknown) => this.#end({ type: 'fail', error }));
      const cause = await this.#cause.promise;
      await started;
      return await this.#conclude(cause);
    } finally {
      stopListening();
      clearTimeout(this.#sourceGone);
      await this.#run?.kill();
      await this.#sinks?.close();
      await this.#log?.close();
      await this.#bridge?.leave().catch(() => undefined);
      await this.#status.flush();
    }
  }

  /** Whether the end has been decided; it may be at any moment. */
  #over(): boolean {
    return this.#ended;
  }

  #end(cause: Cause): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cause.resolve(cause);
    this.#wake?.();
  }

  async #start(): Promise<void> {
    if (this.#over()) return;
    const { plan, store } = this.#deps;
    // An earlier attempt was ending already: there is nothing more to record.
    if (this.#record.info.status === EgressStatus.EGRESS_ENDING) {
      this.#end({ type: 'finish', reason: this.#desired.stop ?? 'Source closed' });
      return;
    }
    const bridge = await this.#join();
    if (!bridge) return;
    this.#bridge = bridge;
    bridge.onEvent((event) => this.#onBridgeEvent(event));
    bridge.onClose((code, reason) => void this.#onBridgeClose(code, reason));

    const wanted = await this.#waitForTracks(bridge);
    if (this.#over()) return;
    const mimeType = (kind: 'audio' | 'video') =>
      wanted.find(({ track }) => track.kind === kind)?.track.mimeType;
    this.#program = chooseProgram(plan, mimeType('video'), mimeType('audio'));
    this.#logger.info({ program: this.#program.program, reason: this.#program.reason }, 'program chosen');

    const epochMs = await store.setEpoch(this.#record.egressId, this.#attempt, Date.now());
    if (epochMs === undefined) throw new Superseded();
    this.#epochMs = epochMs;
    const sinks = await this.#openOutputs(this.#program, wanted, bridge.joined.room);
    await this.#startPipeline(wanted);
    sinks.onDesired(this.#desired);
    this.#status.active(Date.now());
  }

  /** Undefined: there is no room any more, and that ends the egress. @throws when the SFU does not let us in */
  async #join(): Promise<BridgeClient | undefined> {
    for (let tries = 1; ; tries++) {
      try {
        return await connectBridge({
          url: this.#record.bridgeUrl,
          token: await this.#deps.bridgeToken(),
          attempt: this.#attempt,
          logger: this.#logger,
        });
      } catch (error) {
        if (!(error instanceof BridgeRequestError) || this.#over()) throw error;
        if (error.code === 'superseded') throw new Superseded();
        if (error.code === 'not_found') {
          this.#end({ type: 'finish', reason: 'Source closed' });
          return undefined;
        }
        if (tries === JOIN_TRIES) {
          throw new EgressError('internal', `the room cannot be joined: ${error.message}`, { cause: error });
        }
        this.#logger.warn({ err: error, tries }, 'room not joined, trying again');
        await new Promise((resolve) => setTimeout(resolve, JOIN_RETRY_MS));
      }
    }
  }

  /** The log, with what earlier attempts have left in it, and what is made of it. */
  async #openOutputs(
    program: Program,
    tracks: readonly WantedTrack[],
    room: BridgeJoinResult['room'],
  ): Promise<Sinks> {
    const log = await SegmentLogWriter.open({
      dir: this.#deps.logDir,
      egressId: this.#record.egressId,
      attempt: this.#attempt,
      epochMs: this.#epochMs,
      container: program.container,
      logger: this.#logger,
    });
    this.#log = log;
    for (const { attempt, pid } of log.leftovers) {
      endLeftover(pid, attemptDir(this.#deps.logDir, attempt), this.#logger);
    }
    const sinks = this.#deps.createSinks(
      {
        plan: this.#deps.plan,
        program,
        record: this.#record,
        attempt: this.#attempt,
        logDir: this.#deps.logDir,
        earlier: log.earlier,
        status: this.#status,
        epochMs: this.#epochMs,
        tracks,
        room,
        assertCurrent: async () => {
          await log.assertCurrent();
          await this.#status.assertCurrent();
        },
        logger: this.#logger,
      },
      {
        onFailure: (error) => this.#end({ type: 'fail', error }),
        onNothingLeft: () => this.#end({ type: 'finish', reason: 'All streams have ended' }),
      },
    );
    this.#sinks = sinks;
    log.onChunk((chunk) => sinks.onChunk(chunk));
    return sinks;
  }

  async #startPipeline(wanted: readonly WantedTrack[]): Promise<void> {
    const bridge = this.#bridge;
    const program = this.#program;
    const log = this.#log;
    if (!bridge || !program || !log) throw new Error('the pipeline was started before the room was joined');
    const run = this.#runs++;
    const rtp = rtpPath(this.#record.bridgeUrl, this.#deps.workerAddress);
    this.#logger.debug(rtp, 'RTP path');
    this.#run = await this.#deps.startPipeline({
      bridge,
      plan: this.#deps.plan,
      program,
      wanted,
      log: {
        dir: log.folder,
        pattern: chunkPattern(run, program.container),
        container: program.container,
      },
      epochMs: this.#epochMs,
      ...rtp,
      portRange: this.#deps.portRange,
      logger: this.#logger,
      onEvent: (event) => this.#onPipelineEvent(event),
      onTap: (data) => this.#sinks?.onTap(data),
      onDied: (reason) => void this.#onPipelineDied(reason),
    });
    // Whoever takes over on this machine ends what a killed worker has left running.
    await writeFile(pidPath(this.#deps.logDir, this.#attempt), `${this.#run.pid ?? ''}\n`);
  }

  /** Named tracks must be there before the program can be chosen; a room may be empty. */
  async #waitForTracks(bridge: BridgeClient): Promise<WantedTrack[]> {
    const { source } = this.#deps.plan;
    const named =
      source.type === 'room' ? 0 : [source.audioTrackId, source.videoTrackId].filter(Boolean).length;
    const deadline = Date.now() + TRACK_GRACE_MS;
    for (;;) {
      const wanted = this.#select(bridge);
      if (wanted.length >= named || this.#over()) return wanted;
      const left = deadline - Date.now();
      if (left <= 0) {
        if (wanted.length > 0) return wanted;
        throw new EgressAborted(
          'the track was never published: start the egress while its track is in the room',
        );
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #select(bridge: BridgeClient): WantedTrack[] {
    const { source } = this.#deps.plan;
    const wanted = selectTracks(source, bridge.participants.values(), this.#roles);
    if (source.type === 'tracks') {
      for (const { track, identity } of wanted) {
        const role = { identity, source: track.source, kind: track.kind };
        const named = track.kind === 'audio' ? source.audioTrackId : source.videoTrackId;
        if (named !== undefined) this.#roles.set(named, role);
      }
      return wanted;
    }
    return wanted.filter((each) => isReadable(each.track.mimeType) || this.#leaveOut(each));
  }

  /** A room is recorded without the tracks nothing here can read; whoever watches it is told, once a track. */
  #leaveOut({ track: { trackId, mimeType }, identity }: WantedTrack): false {
    if (this.#leftOut.has(trackId)) return false;
    this.#leftOut.add(trackId);
    this.#logger.warn({ trackId, mimeType, identity }, 'track left out: its codec cannot be recorded');
    this.#status.remark(`${trackId} of ${identity} is left out: ${mimeType} cannot be recorded`);
    return false;
  }

  #onDesired(desired: EgressDesired): void {
    if (desired.revision < this.#desired.revision) return;
    this.#desired = desired;
    if (desired.stop !== undefined) this.#end({ type: 'finish', reason: desired.stop });
    else this.#sinks?.onDesired(desired);
  }

  #onBridgeEvent(event: BridgeEvent): void {
    this.#wake?.();
    switch (event.event) {
      case 'participantJoined':
        this.#note('join', { identity: event.participant.identity });
        break;
      case 'participantLeft':
        this.#note('leave', { identity: event.identity });
        break;
      case 'trackPublished':
        this.#note('publish', {
          identity: event.identity,
          trackId: event.track.trackId,
          mimeType: event.track.mimeType,
        });
        break;
      case 'trackUnpublished':
        this.#note('unpublish', { identity: event.identity, trackId: event.trackId });
        break;
      case 'trackMuted':
        this.#note(event.muted ? 'mute' : 'unmute', { trackId: event.trackId });
        return;
      case 'roomClosed':
        this.#end({ type: 'finish', reason: 'Source closed' });
        return;
      default:
        return;
    }
    const bridge = this.#bridge;
    if (!bridge || !this.#run) return;
    const wanted = this.#select(bridge);
    this.#run.sync(wanted);
    this.#watchSource(wanted);
  }

  /** An egress of named tracks ends when all of them have been gone for a while; a room's stays. */
  #watchSource(wanted: readonly WantedTrack[]): void {
    if (this.#deps.plan.source.type === 'room') return;
    if (wanted.length > 0) {
      clearTimeout(this.#sourceGone);
      this.#sourceGone = undefined;
    } else {
      this.#sourceGone ??= setTimeout(
        () => this.#end({ type: 'finish', reason: 'Source closed' }),
        TRACK_GRACE_MS,
      );
    }
  }

  async #onBridgeClose(code: number, reason: string): Promise<void> {
    if (this.#over()) return;
    this.#logger.warn({ code, reason }, 'bridge closed');
    const known = CLOSE_CAUSES.get(code);
    if (known) {
      this.#end(known);
      return;
    }
    // Whoever lost the bridge, the fence decides: a newer attempt goes on, or the SFU is gone and this is the end.
    await new Promise((resolve) => setTimeout(resolve, BRIDGE_LOST_WAIT_MS));
    const record = await this.#deps.store.get(this.#record.egressId).catch(() => undefined);
    if (record && record.attempt > this.#attempt) this.#end({ type: 'superseded' });
    else this.#end({ type: 'finish', reason: 'Connection to the room lost' });
  }

  #onPipelineEvent(event: PipelineEvent): void {
    switch (event.event) {
      case 'chunk':
        this.#write(this.#log?.addChunk(event));
        break;
      case 'trackFlow':
        this.#note(event.flowing ? 'flow' : 'stall', { trackId: event.trackId });
        break;
      case 'trackError':
        this.#logger.warn({ trackId: event.trackId, reason: event.message }, 'track failed');
        break;
      case 'warning':
        this.#logger.warn({ reason: event.message }, 'pipeline warning');
        break;
      case 'error':
        this.#logger.error({ reason: event.message, element: event.element }, 'pipeline error');
        break;
      default:
        break;
    }
  }

  async #onPipelineDied(reason: string): Promise<void> {
    if (this.#over()) return;
    const now = Date.now();
    this.#restarts.push(now);
    const recent = this.#restarts.filter((at) => now - at < RESTART_WINDOW_MS).length;
    this.#logger.error({ reason, recent }, 'pipeline died');
    if (recent > MAX_RESTARTS) {
      this.#end({
        type: 'fail',
        error: new EgressError('internal', `the pipeline died ${recent} times in a minute: ${reason}`),
      });
      return;
    }
    try {
      await this.#run?.kill();
      await this.#log?.endRun(this.#runs - 1);
      await new Promise((resolve) => setTimeout(resolve, RESTART_DELAY_MS));
      const bridge = this.#bridge;
      if (this.#over() || !bridge) return;
      await this.#startPipeline(this.#select(bridge));
      this.#note('pipeline_restart', { reason });
    } catch (error) {
      if (error instanceof SupersededError) {
        this.#end({ type: 'superseded' });
        return;
      }
      await this.#onPipelineDied(error instanceof Error ? error.message : String(error));
    }
  }

  #note(name: EventLine['name'], data: Record<string, string>): void {
    this.#write(this.#log?.event(name, (Date.now() - this.#epochMs) * 1e6, data));
  }

  /** The log is written in the background and in order; what it refuses ends the attempt. */
  #write(written: Promise<unknown> | undefined): void {
    written?.catch((error: unknown) => {
      if (error instanceof SupersededError) this.#end({ type: 'superseded' });
      else if (!this.#over())
        this.#end({
          type: 'fail',
          error: new EgressError('internal', `the segment log cannot be written: ${String(error)}`),
        });
    });
  }

  async #conclude(cause: Cause): Promise<AttemptOutcome> {
    if (cause.type === 'superseded' || (cause.type === 'fail' && cause.error instanceof Superseded)) {
      this.#logger.warn('superseded: a newer attempt goes on');
      return 'superseded';
    }
    if (cause.type === 'hand-over') {
      await this.#run?.stop(PIPELINE_STOP_MS);
      await this.#log?.endRun(this.#runs - 1);
      return 'handed-over';
    }
    if (cause.type === 'finish') this.#status.ending(cause.reason);
    const endedAtMs = Date.now();
    let failure = cause.type === 'fail' ? cause.error : undefined;
    try {
      await this.#run?.stop(PIPELINE_STOP_MS);
      const sinks = this.#sinks ?? (await this.#takeUpOutputs());
      const log = this.#log;
      if (sinks && log) {
        if (this.#run) await log.endRun(this.#runs - 1);
        await sinks.endLive();
        await log.end((endedAtMs - this.#epochMs) * 1e6);
        await sinks.finish(await readLog(this.#deps.logDir));
        if (!failure) await this.#deps.discardLog();
      } else {
        failure ??= new EgressAborted('the egress ended before it began to record');
      }
    } catch (error) {
      if (error instanceof SupersededError || error instanceof Superseded) return 'superseded';
      failure ??= error;
    }
    if (failure) this.#status.fail(failure);
    else this.#status.complete(endedAtMs);
    return 'ended';
  }

  /** An earlier attempt has recorded, this one only makes the outputs: the egress was ending, or its room is gone. */
  async #takeUpOutputs(): Promise<Sinks | undefined> {
    const { epochMs, roomName, info } = this.#record;
    if (epochMs === undefined) return undefined;
    const { container } = await readLog(this.#deps.logDir);
    this.#epochMs = epochMs;
    const program: Program = {
      program: 'passthrough',
      container,
      copyAudio: false,
      reason: 'recorded by an earlier attempt',
    };
    return this.#openOutputs(program, [], { roomId: info.roomId, name: roomName, metadata: '' });
  }
}
