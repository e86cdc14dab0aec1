/**
 * One attempt at an egress: from the job that was taken to the finished outputs. It joins the room, lets the recorder
 * write the segment log, and the sinks make of it what was asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { BridgeEvent, BridgeJoinResult } from '../bridge/protocol.ts';
import type { EgressDesired, EgressRecord } from '../store/types.ts';
import { CLOSE_CAUSES } from './attempt-types.ts';
import type { AttemptContext, AttemptDeps, AttemptOutcome, Cause } from './attempt-types.ts';
import { closeParts, conclude, isFenced } from './attempt-end.ts';
import type { AttemptParts } from './attempt-end.ts';
import { openOutputs } from './attempt-outputs.ts';
import { joinFor, LOST, openPageFor } from './attempt-source.ts';
import { LimitWatch } from './limit-watch.ts';
import { SupersededError } from './log/writer.ts';
import { isPage, isRoomless, watchFence } from './page-source.ts';
import { isReadable } from './program.ts';
import { ProgramKeeper } from './program-keeper.ts';
import { Recorder } from './recorder.ts';
import { RoomSource } from './room/room-source.ts';
import { roomEventLine } from './room/room-events.ts';
import { RunningChanges } from './running-changes.ts';
import { rtpPath } from '../bridge/rtp-path.ts';
import type { WantedTrack } from './room/selection.ts';
import { Stage } from './composition/stage.ts';
import { StatusKeeper, Superseded } from './status.ts';

/** The SFU needs a moment to notice a lost bridge and to raise the attempt. */
const BRIDGE_LOST_WAIT_MS = 3000;

const NO_ROOM: BridgeJoinResult['room'] = { roomId: '', name: '', metadata: '' };

export class EgressAttempt {
  readonly #deps: AttemptDeps;
  readonly #record: EgressRecord;
  readonly #attempt: number;
  readonly #logger: Logger;
  readonly #status: StatusKeeper;
  readonly #source: RoomSource;
  readonly #stage: Stage;
  readonly #programs: ProgramKeeper;
  readonly #context: AttemptContext;
  readonly #parts: AttemptParts = {};
  readonly #cause = Promise.withResolvers<Cause>();
  #desired: EgressDesired;
  #ended = false;
  /** When the bridge was lost. */
  #lostAtMs: number | undefined;

  constructor(record: EgressRecord, attempt: number, deps: AttemptDeps) {
    this.#deps = deps;
    this.#record = record;
    this.#attempt = attempt;
    this.#desired = record.desired;
    this.#stage = new Stage(deps.plan);
    this.#logger = deps.logger.child({ egressId: record.egressId, room: record.roomName, attempt });
    this.#status = new StatusKeeper({
      store: deps.store,
      info: record.info.clone(),
      attempt,
      appliedRevision: record.appliedRevision,
      logger: this.#logger,
      onSuperseded: () => this.#end({ type: 'superseded' }),
    });
    this.#programs = new ProgramKeeper(deps.plan, this.#stage, this.#logger);
    this.#context = {
      ...{ deps, record, attempt, status: this.#status, logger: this.#logger },
      end: (cause) => this.#end(cause),
    };
    this.#source = new RoomSource({
      source: deps.plan.source,
      roles: record.trackRoles ?? {},
      continues: attempt > 1,
      participants: () => this.#parts.bridge?.participants.values() ?? [],
      onLeftOut: (track) => this.#remarkLeftOut(track),
      onGone: () => this.#end({ type: 'finish', reason: 'Source closed' }),
    });
  }

  /** Ends the egress in order, as StopEgress does. */
  stop(reason: string): void {
    this.#end({ type: 'finish', reason });
  }

  /** Ends the egress in order, as LIMIT_REACHED. @param reason what ran out; shown in `error` */
  limitReached(reason: string): void {
    this.#end({ type: 'limit', reason });
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
      this.#source.close();
      await started;
      return await conclude(this.#context, this.#parts, {
        cause,
        endedAtMs: this.#lostAtMs ?? Date.now(),
        paused: this.#desired.paused === true,
      });
    } finally {
      stopListening();
      this.#source.close();
      await closeParts(this.#context, this.#parts);
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
  }

  async #start(): Promise<void> {
    if (this.#over()) return;
    // An earlier attempt was ending already: there is nothing more to record.
    if (this.#record.info.status === EgressStatus.EGRESS_ENDING) {
      this.#end({ type: 'finish', reason: this.#desired.stop ?? 'Source closed' });
      return;
    }
    const { source } = this.#deps.plan;
    const bridge = isRoomless(source) ? undefined : await joinFor(this.#context, () => !this.#over());
    if (bridge) {
      this.#parts.bridge = bridge;
      bridge.onEvent((event) => this.#onBridgeEvent(event));
      bridge.onClose((code, reason) => void this.#onBridgeClose(code, reason));
    } else if (isRoomless(source)) {
      const superseded = () => this.#end({ type: 'superseded' });
      this.#parts.unwatchFence = watchFence(() => isFenced(this.#context), superseded, this.#logger);
    } else return;

    const page = isPage(source)
      ? await openPageFor(this.#context, this.#parts, () => this.#desired, this.#cause.promise)
      : undefined;
    const wanted = page ? [] : await this.#source.ready(() => this.#over());
    if (this.#over()) return;
    const program = this.#programs.choose(wanted);
    const epochMs = await this.#deps.store.setEpoch(this.#record.egressId, this.#attempt, Date.now());
    if (epochMs === undefined) throw new Superseded();
    const { log, sinks } = await openOutputs(this.#context, this.#parts, {
      program,
      epochMs,
      tracks: wanted,
      room: bridge?.joined.room ?? NO_ROOM,
    });
    const limits = new LimitWatch({
      ...{ plan: this.#deps.plan, earlier: log.earlier.chunks, epochMs },
      onReached: (reason) => this.limitReached(reason),
    });
    this.#parts.limits = limits;
    log.onChunk((chunk) => limits.chunk(chunk));
    const rtp = rtpPath(this.#record.bridgeUrl, this.#deps.workerAddress);
    this.#logger.debug(rtp, 'RTP path');
    const initial = this.#desired;
    this.#parts.recorder = new Recorder(program, {
      log,
      logDir: this.#deps.logDir,
      attempt: this.#attempt,
      epochMs,
      startPipeline: this.#deps.startPipeline,
      run: {
        bridge,
        page: page && (() => page.surface()),
        plan: this.#deps.plan,
        stage: this.#stage,
        ...rtp,
        portRange: this.#deps.portRange,
      },
      wanted: () => (page ? [] : this.#source.select()),
      paused: initial.paused === true,
      onTap: (data, origin) => sinks.onTap(data, origin),
      onFatal: (error) =>
        this.#end(error instanceof SupersededError ? { type: 'superseded' } : { type: 'fail', error }),
      logger: this.#logger,
    });
    await this.#parts.recorder.start(wanted);
    sinks.onDesired(this.#desired);
    this.#parts.changes = new RunningChanges({
      ...{ recorder: this.#parts.recorder, log, sinks, limits, status: this.#status, initial },
      opened: this.#record.desired,
      planOf: (desired) => this.#deps.planOf(desired),
      logger: this.#logger,
    });
    this.#parts.changes.apply(this.#desired);
    this.#status.active(Date.now());
    limits.begin(Number(this.#status.info.startedAt / 1_000_000n));
  }

  /** A room is recorded without the tracks nothing here can read; whoever watches it is told. */
  #remarkLeftOut({ track: { trackId, mimeType }, identity }: WantedTrack): void {
    this.#logger.warn({ trackId, mimeType, identity }, 'track left out: its codec cannot be recorded');
    this.#status.remark(`${trackId} of ${identity} is left out: ${mimeType} cannot be recorded`);
  }

  #onDesired(desired: EgressDesired): void {
    // What is wanted when the end has begun comes too late.
    if (desired.revision < this.#desired.revision || this.#over()) return;
    this.#desired = desired;
    this.#source.setTracks(desired);
    if (desired.layout !== undefined) {
      this.#stage.setLayout(desired.layout);
      void this.#parts.page?.tellLayout(desired.layout);
    }
    if (desired.stop !== undefined) this.#end({ type: 'finish', reason: desired.stop });
    else {
      this.#parts.sinks?.onDesired(desired);
      this.#parts.changes?.apply(desired);
      if (this.#parts.bridge && !this.#parts.page) this.#follow();
    }
  }

  #onBridgeEvent(event: BridgeEvent): void {
    if (event.event === 'roomClosed') {
      this.#end({ type: 'finish', reason: 'Source closed' });
      return;
    }
    const line = roomEventLine(event);
    if (!line) return;
    this.#parts.recorder?.note(line.name, line.data);
    if (event.event === 'trackMuted') {
      this.#parts.sinks?.onTracks(this.#source.select());
      return;
    }
    if (!this.#parts.page) this.#follow();
  }

  /** What is wanted of the room may have changed. */
  #follow(): void {
    const wanted = this.#source.changed();
    this.#parts.sinks?.onTracks(wanted);
    if (!this.#parts.recorder) return;
    if (this.#programs.mustEncode(wanted) && this.#encodeFromNowOn(wanted)) return;
    this.#parts.recorder.sync(wanted.filter(({ track }) => isReadable(track.mimeType)));
  }

  /** False when nothing here can read it. */
  #encodeFromNowOn(wanted: readonly WantedTrack[]): boolean {
    try {
      const program = this.#programs.choose(wanted);
      this.#parts.recorder?.change(program).catch((error: unknown) => this.#end({ type: 'fail', error }));
      return true;
    } catch (error) {
      // A codec nothing can read: the recording goes on without the picture.
      this.#logger.warn({ err: error }, 'the picture cannot be recorded any more');
      this.#status.remark(error instanceof Error ? error.message : String(error));
      return false;
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
    // No media comes any more: what has come is put into the log, and no picture that stands still.
    this.#lostAtMs = Date.now();
    const flushed = this.#parts.recorder?.stop();
    flushed?.catch((error: unknown) => this.#logger.warn({ err: error }, 'recorder not ended in order'));
    // Whoever lost the bridge, the fence decides: a newer attempt goes on, or the SFU is gone and this is the end.
    await sleep(BRIDGE_LOST_WAIT_MS);
    if (await isFenced(this.#context)) this.#end({ type: 'superseded' });
    else this.#end({ type: 'finish', reason: LOST });
  }
}
