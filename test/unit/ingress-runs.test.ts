/** A session's runs against a source, a pipeline and a room of which the test decides what they do. */
import { Writable } from 'node:stream';
import { IngressInfo, IngressState, IngressState_Status as Status } from '@livekit/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { IngressEvent } from '../../pipelines/shared/ingress-protocol.ts';
import type { BridgeClient } from '../../src/bridge/client.ts';
import { BridgeRequestError } from '../../src/bridge/errors.ts';
import type { Cause } from '../../src/ingress/cause.ts';
import { Runs } from '../../src/ingress/runs.ts';
import { SessionState } from '../../src/ingress/session-state.ts';
import type { RunPipeline, RunSource } from '../../src/ingress/source.ts';
import { silentLogger } from '../support/sfu.ts';

class FakePipeline implements RunPipeline {
  readonly input = new Writable({ write: (_chunk, _encoding, done) => done() });
  emit: (event: IngressEvent) => void = () => undefined;
  die: (reason: string) => void = () => undefined;
  killed = false;
  readonly init = async () => undefined;
  readonly bind = async () => 5000;
  readonly connect = async () => undefined;
  readonly bindInput = async () => 5001;
  readonly connectInput = async () => undefined;
  readonly setLayerSizes = async () => undefined;
  readonly keyFrame = async () => undefined;
  readonly start: () => Promise<void>;

  constructor(start: (pipeline: FakePipeline) => void) {
    this.start = async () => start(this);
  }

  onEvent(listener: (event: IngressEvent) => void) {
    this.emit = listener;
    return () => undefined;
  }

  onExit(listener: (reason: string) => void) {
    this.die = listener;
    return () => undefined;
  }

  async stop() {
    this.killed = true;
    return 'stopped';
  }

  async kill() {
    this.killed = true;
    return 'killed';
  }
}

/** What is asked of the room is granted. */
const room = {
  joined: { participantId: 'PA_1' },
  request: async () => ({ publicationId: 'p', trackId: 'TR_1', remote: { ip: '127.0.0.1', port: 6000 } }),
  onClose: () => undefined,
  onEvent: () => () => undefined,
} as unknown as BridgeClient;

function session(options: {
  onStart: (pipeline: FakePipeline) => void;
  bridge?: () => Promise<BridgeClient>;
}) {
  const over = new AbortController();
  const heard = { at: performance.now() };
  const pipelines: FakePipeline[] = [];
  let connected = 0;
  let closed = 0;
  const ends: Cause[] = [];
  const state = new SessionState({
    store: { saveState: async () => true, endSession: async () => true },
    ingressId: 'IN_1',
    attempt: 1,
    state: new IngressState(),
    logger: silentLogger,
    onSuperseded: () => undefined,
  });
  const source = (): RunSource => ({
    video: undefined,
    audio: { codec: 'aac', sampleRate: 48_000, channels: 2 },
    pacing: 'arrival',
    input: { type: 'pipe', container: 'flv' },
    attach: async () => undefined,
    flow: async () => undefined,
    measures: () => ({ video: undefined, audio: { bitrate: 1 } }),
    get heardAt() {
      return heard.at;
    },
    ended: new Promise(() => undefined),
    close: async () => void (closed += 1),
  });
  const runs = new Runs({
    info: new IngressInfo(),
    state,
    connect: async () => {
      connected += 1;
      return source();
    },
    startPipeline: async () => {
      const pipeline = new FakePipeline(options.onStart);
      pipelines.push(pipeline);
      return pipeline;
    },
    bridge: options.bridge ?? (async () => room),
    path: { address: '127.0.0.1', srtp: false, portRange: undefined },
    signal: over.signal,
    onEnd: (cause) => {
      ends.push(cause);
      over.abort();
    },
    logger: silentLogger,
  });
  const count = () => ({ connected, closed, pipelines: pipelines.length });
  return { runs, state, heard, pipelines, ends, over, count };
}

describe('the runs of a session', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  it('say that no media has come for a minute, and that it has come again', async () => {
    const { runs, state, heard, pipelines, over } = session({
      onStart: (pipeline) => pipeline.emit({ event: 'flowing', kind: 'audio' }),
    });
    const done = runs.run();
    await vi.waitFor(() => expect(state.current.status).toBe(Status.ENDPOINT_PUBLISHING));
    await vi.advanceTimersByTimeAsync(58_000);
    expect(state.current.status).toBe(Status.ENDPOINT_PUBLISHING);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(state.current.status).toBe(Status.ENDPOINT_BUFFERING);
    expect(state.current.error).toMatch(/^no media for 6\d s$/);
    heard.at = performance.now();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.current.status).toBe(Status.ENDPOINT_PUBLISHING);
    expect(state.current.error).toContain('encoded to Opus');
    over.abort();
    await done;
    expect(pipelines.map(({ killed }) => killed)).toEqual([true]);
  });

  it('end the session when one pipeline after another dies of the media', async () => {
    const { runs, ends, count } = session({
      onStart: (pipeline) => {
        // Media flows each time, so that there is no growing wait.
        pipeline.emit({ event: 'flowing', kind: 'audio' });
        setTimeout(() => pipeline.die('not a stream'), 5);
      },
    });
    await runs.run();
    expect(ends).toEqual([{ type: 'fail', reason: 'the media cannot be read: not a stream' }]);
    expect(count()).toEqual({ connected: 7, closed: 7, pipelines: 7 });
  }, 15_000);

  it('wait for an SFU that is away, and leave nothing behind meanwhile', async () => {
    let tries = 0;
    const { runs, state, over, pipelines, count } = session({
      onStart: (pipeline) => pipeline.emit({ event: 'flowing', kind: 'audio' }),
      bridge: async () => {
        if (++tries === 1) throw new BridgeRequestError('closed', 'the bridge is closed');
        return room;
      },
    });
    const done = runs.run();
    await vi.waitFor(() => expect(state.current.error).toContain('the room cannot be joined'));
    expect(pipelines.map(({ killed }) => killed)).toEqual([true]);
    expect(count().closed).toBe(1);
    await vi.waitFor(() => expect(state.current.status).toBe(Status.ENDPOINT_PUBLISHING), 3000);
    over.abort();
    await done;
    expect(count().closed).toBe(2);
  });

  it('give up where the room lets nobody in', async () => {
    const { runs, count, pipelines } = session({
      onStart: () => undefined,
      bridge: async () => {
        throw new BridgeRequestError('not_allowed', 'the room is full');
      },
    });
    await expect(runs.run()).rejects.toThrow('the room is full');
    expect(count().closed).toBe(1);
    expect(pipelines[0]?.killed).toBe(true);
  });
});
