/**
 * One attempt at an egress: from the job that was taken to the finished outputs. It joins the room, lets the recorder
 * write the segment log, and the sinks make of it what was asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import type { BridgeEvent, BridgeJoinResult } from '../bridge/protocol.ts';
import { StorageError } from '../storage/types.ts';
import type { EgressDesired, EgressRecord } from '../store/types.ts';
import { CLOSE_CAUSES } from './attempt-types.ts';
import type { AttemptDeps, AttemptOutcome, Cause } from './attempt-types.ts';
import { EgressAborted } from './errors.ts';
import { asRequested } from './added-outputs.ts';
import { joinRoom } from './room/join.ts';
import { keptSeconds, streamsOnly } from './kept.ts';
import { LimitWatch } from './limit-watch.ts';
import { attemptDir } from './log/files.ts';
import { pausesOf } from './log/pauses.ts';
import { readLog } from './log/reader.ts';
import type { SegmentLog } from './log/reader.ts';
import { SegmentLogWriter, SupersededError } from './log/writer.ts';
import { endLeftover } from './leftover.ts';
import { isPage, isRoomless, opened, pageFailure, watchFence } from './page-source.ts';
import type { EgressPlan } from './plan/types.ts';
import { chooseProgram, isReadable } from './program.ts';
import type { Program } from './program.ts';
import { Recorder } from './recorder.ts';
import { RoomSource } from './room/room-source.ts';
import { roomEventLine } from './room/room-events.ts';
import { RunningChanges } from './running-changes.ts';
import { rtpPath } from '../bridge/rtp-path.ts';
import type { WantedTrack } from './room/selection.ts';
import { Stage } from './composition/stage.ts';
import type { Sinks } from './sinks/index.ts';
import { StatusKeeper, Superseded } from './status.ts';
import type { WebSource } from '../web-source/index.ts';

/** The SFU needs a moment to notice a lost bridge and to raise the attempt. */
const BRIDGE_LOST_WAIT_MS = 3000;

const NO_ROOM: BridgeJoinResult['room'] = { roomId: '', name: '', metadata: '' };

const SUPERSEDED = 'superseded: a newer attempt goes on';
const LOST = 'Connection to the room lost';

export class EgressAttempt {
  readonly #deps: AttemptDeps;
  readonly #record: EgressRecord;
  readonly #attempt: number;
  readonly #logger: Logger;
  readonly #status: StatusKeeper;
  readonly #source: RoomSource;
  readonly #stage: Stage;
  readonly #cause = Promise.withResolvers<Cause>();
  #desired: EgressDesired;
  #ended = false;
  #bridge: BridgeClient | undefined;
  #page: WebSource | undefined;
  #unwatchFence: (() => void) | undefined;
  #log: SegmentLogWriter | undefined;
  #recorder: Recorder | undefined;
  #changes: RunningChanges | undefined;
  #sinks: Sinks | undefined;
  #program: Program | undefined;
  #limits: LimitWatch | undefined;
  #epochMs = 0;
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
    this.#source = new RoomSource({
      source: deps.plan.source,
      roles: record.trackRoles ?? {},
      continues: attempt > 1,
      participants: () => this.#bridge?.participants.values() ?? [],
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
      return await this.#conclude(cause);
    } finally {
      stopListening();
      this.#source.close();
      this.#limits?.close();
      this.#unwatchFence?.();
      await this.#close();
    }
  }

  /** Lets go of everything in turn, whatever of it fails. */
  async #close(): Promise<void> {
    const parts: readonly [what: string, close: () => Promise<unknown> | undefined][] = [
      ['recorder', () => this.#recorder?.kill()],
      ['page', () => this.#page?.close()],
      // An output that is still being opened would be in nobody's list.
      ['changes', () => this.#changes?.settled()],
      ['outputs', () => this.#sinks?.close()],
      ['log', () => this.#log?.close()],
      ['bridge', () => this.#bridge?.leave()],
      ['status', () => this.#status.flush()],
    ];
    for (const [part, close] of parts) {
      try {
        await close();
      } catch (error) {
        this.#logger.error({ err: error, part }, 'not closed in order');
      }
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
    const bridge = isRoomless(source) ? undefined : await this.#join();
    if (bridge) {
      this.#bridge = bridge;
      bridge.onEvent((event) => this.#onBridgeEvent(event));
      bridge.onClose((code, reason) => void this.#onBridgeClose(code, reason));
    } else if (isRoomless(source)) {
      const superseded = () => this.#end({ type: 'superseded' });
      this.#unwatchFence = watchFence(() => this.#isFenced(), superseded, this.#logger);
    } else return;

    const page = isPage(source) ? await this.#openPage() : undefined;
    const wanted = page ? [] : await this.#source.ready(() => this.#over());
    if (this.#over()) return;
    const program = this.#choose(wanted);
    const epochMs = await this.#deps.store.setEpoch(this.#record.egressId, this.#attempt, Date.now());
    if (epochMs === undefined) throw new Superseded();
    this.#epochMs = epochMs;
    const { log, sinks } = await this.#openOutputs(program, wanted, bridge?.joined.room ?? NO_ROOM);
    const limits = new LimitWatch({
      ...{ plan: this.#deps.plan, earlier: log.earlier.chunks, epochMs },
      onReached: (reason) => this.limitReached(reason),
    });
    this.#limits = limits;
    log.onChunk((chunk) => limits.chunk(chunk));
    const rtp = rtpPath(this.#record.bridgeUrl, this.#deps.workerAddress);
    this.#logger.debug(rtp, 'RTP path');
    const initial = this.#desired;
    this.#recorder = new Recorder(program, {
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
    await this.#recorder.start(wanted);
    sinks.onDesired(this.#desired);
    this.#changes = new RunningChanges({
      ...{ recorder: this.#recorder, log, sinks, limits, status: this.#status, initial },
      opened: this.#record.desired,
      planOf: (desired) => this.#deps.planOf(desired),
      logger: this.#logger,
    });
    this.#changes.apply(this.#desired);
    this.#status.active(Date.now());
    limits.begin(Number(this.#status.info.startedAt / 1_000_000n));
  }

  /** Answers when what it shows is to be recorded, or it is not wanted any more. @throws EgressError, EgressAborted */
  async #openPage(): Promise<WebSource> {
    const { plan, openPage } = this.#deps;
    const { layout } = this.#desired;
    const page = await openPage({
      ...{ plan, record: this.#record, attempt: this.#attempt, layout },
      onEnd: () => this.#end({ type: 'finish', reason: 'Source closed' }),
      onFailure: (reason, back) => {
        const seconds = ((Date.now() - this.#epochMs) / 1000).toFixed(1);
        this.#status.remark(`the page was ${back ? '' : 'not '}brought back at ${seconds} s: ${reason}`);
      },
      onFatal: (error) => this.#end({ type: 'fail', error: pageFailure(error) }),
    });
    this.#page = page;
    const { layout: wanted } = this.#desired;
    if (wanted !== undefined && wanted !== layout) void page.tellLayout(wanted);
    await opened(page, this.#cause.promise);
    return page;
  }

  /** Undefined when there is nothing to join, which is the end. @throws Superseded; EgressError */
  async #join(): Promise<BridgeClient | undefined> {
    let reason = 'Source closed';
    try {
      const bridge = await joinRoom({
        url: this.#record.bridgeUrl,
        token: this.#deps.bridgeToken,
        attempt: this.#attempt,
        logger: this.#logger,
        wanted: () => !this.#over(),
      });
      if (bridge) return bridge;
    } catch (error) {
      // What an earlier attempt has recorded is finished all the same: the SFU is gone.
      if (error instanceof Superseded || this.#record.epochMs === undefined) throw error;
      this.#logger.warn({ err: error }, 'room not joined: the egress ends with what there is');
      reason = LOST;
    }
    this.#end({ type: 'finish', reason });
    return undefined;
  }

  /** @throws EgressError when a codec cannot be read, or not put into what was asked for */
  #choose(wanted: readonly WantedTrack[]): Program {
    const mimeType = (kind: 'audio' | 'video') =>
      wanted.find(({ track }) => track.kind === kind)?.track.mimeType;
    const asked = asRequested(this.#deps.plan);
    const pictures = wanted.filter(({ track }) => track.kind === 'video').length;
    // Several are shown side by side, also where the source has one.
    if (pictures > 1 && asked.source.type !== 'room') this.#stage.setLayout('grid');
    const plan: EgressPlan = pictures > 1 ? { ...asked, choice: { program: 'composite' } } : asked;
    const program = chooseProgram(plan, mimeType('video'), mimeType('audio'));
    this.#logger.info({ program: program.program, reason: program.reason }, 'program chosen');
    this.#program = program;
    return program;
  }

  /** The log, with what earlier attempts have left in it, and what is made of it. */
  async #openOutputs(
    program: Program,
    tracks: readonly WantedTrack[],
    room: BridgeJoinResult['room'],
  ): Promise<{ log: SegmentLogWriter; sinks: Sinks }> {
    const log = await SegmentLogWriter.open({
      dir: this.#deps.logDir,
      egressId: this.#record.egressId,
      attempt: this.#attempt,
      epochMs: this.#epochMs,
      container: program.container,
      keepS: keptSeconds(this.#deps.plan),
      logger: this.#logger,
    });
    this.#log = log;
    for (const { attempt, pid } of log.leftovers) {
      endLeftover(pid, attemptDir(this.#deps.logDir, attempt), this.#logger);
    }
    const sinks = await this.#deps.createSinks(
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
    return { log, sinks };
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
      void this.#page?.tellLayout(desired.layout);
    }
    if (desired.stop !== undefined) this.#end({ type: 'finish', reason: desired.stop });
    else {
      this.#sinks?.onDesired(desired);
      this.#changes?.apply(desired);
      if (this.#bridge && !this.#page) this.#follow();
    }
  }

  #onBridgeEvent(event: BridgeEvent): void {
    if (event.event === 'roomClosed') {
      this.#end({ type: 'finish', reason: 'Source closed' });
      return;
    }
    const line = roomEventLine(event);
    if (!line) return;
    this.#recorder?.note(line.name, line.data);
    if (event.event === 'trackMuted') {
      this.#sinks?.onTracks(this.#source.select());
      return;
    }
    if (!this.#page) this.#follow();
  }

  /** What is wanted of the room may have changed. */
  #follow(): void {
    const wanted = this.#source.changed();
    this.#sinks?.onTracks(wanted);
    if (!this.#recorder) return;
    if (this.#mustEncode(wanted) && this.#encodeFromNowOn(wanted)) return;
    this.#recorder.sync(wanted.filter(({ track }) => isReadable(track.mimeType)));
  }

  /** A picture that was copied has come back in a codec that cannot be, or got company. */
  #mustEncode(wanted: readonly WantedTrack[]): boolean {
    const { program, container } = this.#program ?? {};
    const [video, ...others] = wanted.filter(({ track }) => track.kind === 'video');
    const isOther = video !== undefined && video.track.mimeType.toLowerCase() !== 'video/h264';
    return program === 'passthrough' && container === 'mpegts' && (isOther || others.length > 0);
  }

  /** False when nothing here can read it. */
  #encodeFromNowOn(wanted: readonly WantedTrack[]): boolean {
    try {
      const program = this.#choose(wanted);
      this.#recorder?.change(program).catch((error: unknown) => this.#end({ type: 'fail', error }));
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
    const flushed = this.#recorder?.stop();
    flushed?.catch((error: unknown) => this.#logger.warn({ err: error }, 'recorder not ended in order'));
    // Whoever lost the bridge, the fence decides: a newer attempt goes on, or the SFU is gone and this is the end.
    await sleep(BRIDGE_LOST_WAIT_MS);
    if (await this.#isFenced()) this.#end({ type: 'superseded' });
    else this.#end({ type: 'finish', reason: LOST });
  }

  /** Whether a newer attempt exists, as far as can be known soon: while Redis is away nobody else can have begun. */
  async #isFenced(): Promise<boolean> {
    try {
      await this.#status.assertCurrent();
      return false;
    } catch (error) {
      if (error instanceof Superseded) return true;
      throw error;
    }
  }

  async #conclude(cause: Cause): Promise<AttemptOutcome> {
    if (cause.type === 'superseded' || (cause.type === 'fail' && cause.error instanceof Superseded)) {
      this.#logger.warn(SUPERSEDED);
      return 'superseded';
    }
    if (cause.type === 'hand-over') {
      return this.#handOver();
    }
    if (cause.type === 'finish') this.#status.ending(cause.reason);
    if (cause.type === 'limit') this.#status.limitReached(cause.reason);
    const endedAtMs = this.#lostAtMs ?? Date.now();
    const stopped = this.#stopRecording();
    // An output that is being opened is the egress's: it ends with the others.
    await this.#changes?.settled();
    if (this.#desired.paused) this.#status.paused(undefined);
    let failure = cause.type === 'fail' ? cause.error : undefined;
    let pending = false;
    try {
      await stopped;
      // It has shown all that is recorded; whether it goes in order is nothing to the outputs.
      await this.#page
        ?.close()
        .catch((error: unknown) => this.#logger.warn({ err: error }, 'page not closed'));
      const outputs = await this.#outputs();
      if (outputs) {
        await outputs.sinks.endLive();
        await outputs.log.end((endedAtMs - this.#epochMs) * 1e6);
        const log = await readLog(this.#deps.logDir);
        assertNotAllPaused(log, this.#deps.plan);
        pending = (await outputs.sinks.finish(log)) === 'pending';
      } else {
        failure ??= new EgressAborted('the egress ended before it began to record');
      }
    } catch (error) {
      failure ??= error;
    }
    // What fails may fail because another attempt has finished, and taken the log away.
    const fenced = failure instanceof SupersededError || failure instanceof Superseded;
    if (failure && (fenced || (await this.#isFenced()))) {
      this.#logger.warn({ err: failure }, SUPERSEDED);
      return 'superseded';
    }
    if (!failure) this.#status.complete(endedAtMs);
    else {
      // What a storage refuses is tried again, and goes when it is stored; what else went wrong is for somebody to see.
      if (!(failure instanceof StorageError)) {
        await this.#deps.keepLog(failure instanceof Error ? failure.message : 'unknown failure');
      }
      this.#status.fail(failure);
    }
    // Not before the end is on record: a worker that dies in between leaves the next one everything.
    if (!(await this.#status.saved())) {
      this.#logger.warn(SUPERSEDED);
      return 'superseded';
    }
    if (!failure && !pending) {
      const kept = (error: unknown) => this.#logger.error({ err: error }, 'segment log not removed');
      await this.#deps.discardLog().catch(kept);
    }
    return 'ended';
  }

  /** Flushes what was received into the log; whoever waits for it hears of what went wrong. */
  #stopRecording(): Promise<void> {
    const stopped = this.#recorder?.stop() ?? Promise.resolve();
    stopped.catch(() => undefined);
    return stopped;
  }

  async #handOver(): Promise<AttemptOutcome> {
    const stopped = this.#stopRecording();
    await this.#changes?.settled();
    // Together: connections of streams take a moment to end, and the next attempt waits for both.
    const results = await Promise.allSettled([stopped, this.#sinks?.close()]);
    this.#sinks = undefined;
    const failures = results.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
    for (const error of failures) this.#logger.warn({ err: error }, 'not handed over in order');
    return failures.some((error) => error instanceof SupersededError) ? 'superseded' : 'handed-over';
  }

  /**
   * What the end is made of. When only an earlier attempt has recorded (the egress was ending, or its room is gone), the
   * log is taken up here; undefined when nobody has.
   */
  async #outputs(): Promise<{ log: SegmentLogWriter; sinks: Sinks } | undefined> {
    if (this.#log && this.#sinks) return { log: this.#log, sinks: this.#sinks };
    const { epochMs, roomName, info } = this.#record;
    if (epochMs === undefined) return undefined;
    const { container } = await readLog(this.#deps.logDir);
    this.#epochMs = epochMs;
    const reason = 'recorded by an earlier attempt';
    const program: Program = { program: 'passthrough', container, copyAudio: false, reason };
    return this.#openOutputs(program, [], { roomId: info.roomId, name: roomName, metadata: '' });
  }
}

/** @throws EgressAborted when nothing was recorded because nothing was to be */
function assertNotAllPaused({ chunks, events }: SegmentLog, plan: EgressPlan): void {
  if (chunks.length > 0 || streamsOnly(plan) || pausesOf(events).length === 0) return;
  throw new EgressAborted('the egress ended without having recorded anything: it was paused all the time');
}
