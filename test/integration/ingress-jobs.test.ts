/** Ingress jobs on a real Redis: workers that are killed or told to stop, and those that go on. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { IngressState_Status as Status } from '@livekit/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { IngressRecovery } from '../../src/jobs/recovery.ts';
import { IngressWorker } from '../../src/jobs/ingress-worker.ts';
import { ingressQueue } from '../../src/jobs/queues.ts';
import type { IngressQueue } from '../../src/jobs/queues.ts';
import { startBridge } from '../support/bridge.ts';
import type { TestBridge } from '../support/bridge.ts';
import { startSessions } from '../support/ingress-session.ts';
import type { Sessions } from '../support/ingress-session.ts';
import { EventLog, silentLogger, until } from '../support/sfu.ts';

let bridge: TestBridge;
let sessions: Sessions;
let queue: IngressQueue;
let recovery: IngressRecovery;
const cleanup: (() => unknown)[] = [];

beforeAll(async () => {
  bridge = await startBridge(200, 10_000, (_identity, attempt) => recovery.requeue(attempt, 'lost'));
});
afterAll(() => bridge.close());
beforeEach(async () => {
  sessions = await startSessions(bridge);
  const connection = sessions.redis.shared;
  queue = ingressQueue(connection, silentLogger);
  recovery = new IngressRecovery({
    connection,
    queue,
    store: sessions.store,
    isJoined: (identity, attempt) => bridge.bridge.isJoined(identity, attempt),
    logger: silentLogger,
  });
  await recovery.ready();
});
afterEach(async () => {
  for (const each of cleanup.splice(0).reverse()) await each();
  for (const room of bridge.sfu.rooms()) bridge.sfu.deleteRoom(room.name);
  await recovery.close();
  await queue.close();
  await sessions.close();
});

async function startWorker(): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('../support/ingress-worker.ts', import.meta.url));
  const child = spawn(process.execPath, [script, sessions.redisUrl], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanup.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await once(child.stdout, 'data');
  return child;
}

/** Processes somebody has started, by his process id. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A worker that publishes, and what is to be seen of it. */
async function publishing(room: string) {
  const first = await startWorker();
  const { ingressId, session } = await sessions.begin(room);
  await queue.add(ingressId, session.attempt);
  await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING, 20_000);
  const participant = bridge.sfu.room(room)!.participants.get('camera')!;
  const events = new EventLog(participant.room);
  return { first, ingressId, session, participant, events };
}

describe('an ingress whose worker', () => {
  it('is killed goes on with another one, in the same seat', async () => {
    const { first, ingressId, session, participant, events } = await publishing('killed');
    await startWorker();
    const children = childrenOf(first.pid!);
    expect(children.length).toBeGreaterThanOrEqual(2);
    first.kill('SIGKILL');
    await until('the tracks to go', () => participant.tracks.size === 0);
    await until('the tracks to come back', () => participant.tracks.size === 2, 15_000);
    await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    expect(participant.closed).toBe(false);
    expect(events.types.filter((type) => type.startsWith('participant'))).toEqual([]);
    expect((await sessions.store.get(ingressId))!.session!.attempt).toBeGreaterThan(session.attempt);
    await until('nothing of the first to be left', () => !children.some(alive), 10_000);
    expect((await participant.room.router.dump()).transportIds).toHaveLength(2);
  }, 60_000);

  it('is told to stop goes on with another one, in the same seat', async () => {
    const { first, ingressId, participant, events } = await publishing('stopped');
    await startWorker();
    const exited = once(first, 'exit');
    first.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    await until('the tracks to come back', () => participant.tracks.size === 2, 15_000);
    await sessions.untilStatus(ingressId, Status.ENDPOINT_PUBLISHING);
    expect(events.types.filter((type) => type.startsWith('participant'))).toEqual([]);
    expect(bridge.lost).not.toContainEqual(expect.objectContaining({ roomName: 'stopped' }));
  }, 60_000);
});

describe('the worker', () => {
  it('refuses a job whose session is over or has a newer attempt, and ends one that cannot be run', async () => {
    let created = 0;
    const worker = new IngressWorker({
      connection: sessions.redis.shared,
      queue,
      store: sessions.store,
      maxJobs: 4,
      createAttempt: () => {
        created += 1;
        throw new Error('no such input');
      },
      logger: silentLogger,
    });
    cleanup.push(() => worker.close('finish', 5000));
    await worker.ready();
    const old = await sessions.begin('old');
    await sessions.store.raiseAttempt(old.ingressId, old.session.attempt);
    await queue.add(old.ingressId, old.session.attempt);
    const bad = await sessions.begin('bad');
    await queue.add(bad.ingressId, bad.session.attempt);
    const state = await sessions.untilStatus(bad.ingressId, Status.ENDPOINT_ERROR);
    expect(state.error).toBe('no such input');
    expect((await sessions.store.get(bad.ingressId))!.session).toBeUndefined();
    await until('every job to be done', () => worker.runningCount === 0);
    expect(await queue.waiting()).toBe(0);
    expect(created).toBe(1);
  });

  it('is not missed by recovery while the session is over or somebody else has it', async () => {
    const { ingressId, session } = await sessions.begin('r');
    await recovery.requeue(session.attempt, 'lost');
    await recovery.requeue(session.attempt, 'lost again');
    expect(await queue.waiting()).toBe(1);
    const next = (await sessions.store.get(ingressId))!.session!.attempt;
    expect(next).toBeGreaterThan(session.attempt);
    expect(await queue.remove(ingressId, next)).toBe(true);
    await recovery.requeue(999_999, 'nobody has it');
    expect(await queue.waiting()).toBe(0);
  });
});
