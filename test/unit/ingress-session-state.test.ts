import { IngressState, IngressState_Status as Status } from '@livekit/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SessionState } from '../../src/ingress/session-state.ts';
import { silentLogger } from '../support/sfu.ts';

/** A store of which the test decides whether it answers, and what. */
function store() {
  const saved: string[] = [];
  const behaviour = { allowed: true, away: false };
  const answer = async (name: string, state: IngressState) => {
    if (behaviour.away) throw new Error('Redis is away');
    if (behaviour.allowed) saved.push(`${name} ${state.error}`);
    return behaviour.allowed;
  };
  return {
    saved,
    behaviour,
    saveState: (_id: string, _attempt: number, state: IngressState) => answer('save', state),
    endSession: (_id: string, _attempt: number, state: IngressState) => answer('end', state),
  };
}

function keeper() {
  const kept = store();
  const onSuperseded = vi.fn();
  const state = new SessionState({
    store: kept,
    ingressId: 'IN_1',
    attempt: 1,
    state: new IngressState(),
    logger: silentLogger,
    onSuperseded,
  });
  return { ...kept, state, onSuperseded };
}

describe('the state of a session', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('is saved in order, changes made meanwhile together', async () => {
    const { state, saved } = keeper();
    for (const error of ['a', 'b', 'c']) state.update((next) => (next.error = error));
    await state.flush();
    expect(saved).toEqual(['save c']);
    state.update((next) => (next.error = 'd'));
    expect(await state.end(Status.ENDPOINT_INACTIVE, 'over')).toBe(true);
    expect(saved.at(-1)).toBe('end over');
  });

  it('waits for Redis, and ends when it is back', async () => {
    const { state, saved, behaviour } = keeper();
    behaviour.away = true;
    state.update((next) => (next.error = 'a'));
    await vi.advanceTimersByTimeAsync(3000);
    expect(saved).toEqual([]);
    behaviour.away = false;
    await vi.advanceTimersByTimeAsync(1000);
    expect(saved).toEqual(['save a']);
    behaviour.away = true;
    const ended = state.end(Status.ENDPOINT_COMPLETE, '');
    await vi.advanceTimersByTimeAsync(3000);
    behaviour.away = false;
    await vi.advanceTimersByTimeAsync(1000);
    expect(await ended).toBe(true);
  });

  it('gives up an end nobody takes, so that somebody else can decide', async () => {
    const { state, behaviour } = keeper();
    behaviour.away = true;
    const ended = state.end(Status.ENDPOINT_COMPLETE, '');
    const refused = expect(ended).rejects.toThrow('Redis is away');
    await vi.advanceTimersByTimeAsync(25_000);
    await refused;
  });

  it('writes nothing more once it is somebody else’s', async () => {
    const { state, saved, behaviour, onSuperseded } = keeper();
    behaviour.allowed = false;
    state.update((next) => (next.error = 'a'));
    await state.flush();
    expect(onSuperseded).toHaveBeenCalledOnce();
    behaviour.allowed = true;
    state.update((next) => (next.error = 'b'));
    await state.flush();
    expect(await state.end(Status.ENDPOINT_INACTIVE, 'over')).toBe(false);
    expect(saved).toEqual([]);
  });
});
