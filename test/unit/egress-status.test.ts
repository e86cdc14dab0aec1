import { EgressInfo, EgressStatus } from '@livekit/protocol';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { EgressAborted, EgressError } from '../../src/egress/errors.ts';
import { StatusKeeper } from '../../src/egress/status.ts';
import type { EgressStore } from '../../src/store/types.ts';

/** @param answers what each save is answered with; an Error is thrown. The last one stays. */
function keeper(answers: (boolean | Error)[] = [true], info = new EgressInfo({ egressId: 'EG_1' })) {
  const saved: EgressInfo[] = [];
  let superseded = 0;
  const store = {
    saveInfo: async (_id: string, _attempt: number, info: EgressInfo) => {
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer instanceof Error) throw answer;
      if (answer) saved.push(info);
      return answer ?? true;
    },
  } as unknown as EgressStore;
  const status = new StatusKeeper({
    store,
    info,
    attempt: 1,
    appliedRevision: 0,
    logger: pino({ level: 'silent' }),
    onSuperseded: () => superseded++,
  });
  return { status, saved, superseded: () => superseded };
}

describe('StatusKeeper', () => {
  it('goes from STARTING to ACTIVE once, and saves in order', async () => {
    const { status, saved } = keeper();
    status.active(1000);
    status.active(2000);
    await status.flush();
    status.ending('StopEgress API');
    await status.flush();
    status.complete(5000);
    await status.flush();
    expect(saved.map((info) => EgressStatus[info.status])).toEqual([
      'EGRESS_ACTIVE',
      'EGRESS_ENDING',
      'EGRESS_COMPLETE',
    ]);
    expect(saved.at(-1)).toMatchObject({ startedAt: 1_000_000_000n, endedAt: 5_000_000_000n });
  });

  it('keeps remarks behind the reason, whichever came first', async () => {
    const { status } = keeper();
    status.remark('TR_1 of alice is left out: video/AV1 cannot be recorded');
    status.ending('StopEgress API');
    status.remark('gap from 1.0 s to 2.0 s: killed');
    // Another output of the same log.
    status.remark('gap from 1.0 s to 2.0 s: killed');
    status.fail(new EgressError('user', 'no such bucket'));
    await status.flush();
    expect(status.info.details).toBe(
      'End reason: StopEgress API; TR_1 of alice is left out: video/AV1 cannot be recorded; gap from 1.0 s to 2.0 s: killed',
    );
    expect(status.info).toMatchObject({ error: 'no such bucket', errorCode: 400 });
  });

  it('says that it is paused for as long as it is', async () => {
    const { status } = keeper();
    status.remark('TR_1 is left out');
    status.paused(0);
    expect(status.info.details).toBe('TR_1 is left out; paused since 1970-01-01T00:00:00.000Z');
    // Another attempt says it again.
    status.paused(1000);
    expect(status.info.details).toBe('TR_1 is left out; paused since 1970-01-01T00:00:01.000Z');
    status.paused(undefined);
    expect(status.info.details).toBe('TR_1 is left out');
    await status.flush();
  });

  it('ends as LIMIT_REACHED what was ended because something ran out, also when a later attempt finishes it', async () => {
    const { status } = keeper();
    status.active(1);
    status.limitReached('the disk is nearly full');
    expect(status.info).toMatchObject({
      status: EgressStatus.EGRESS_ENDING,
      details: 'End reason: Session limit reached: the disk is nearly full',
    });
    const later = keeper([true], status.info.clone()).status;
    for (const each of [status, later]) {
      each.ending('Source closed');
      each.complete(2);
      await each.flush();
      expect(each.info).toMatchObject({
        status: EgressStatus.EGRESS_LIMIT_REACHED,
        error: 'Session limit reached: the disk is nearly full',
        errorCode: 413,
        details: 'End reason: Session limit reached: the disk is nearly full',
      });
    }
  });

  it('ends as ABORTED with 412 what was over before it began', async () => {
    const { status } = keeper();
    status.fail(new EgressAborted('never published'));
    await status.flush();
    expect(status.info).toMatchObject({
      status: EgressStatus.EGRESS_ABORTED,
      errorCode: 412,
      details: 'End reason: Source closed',
    });
  });

  it('writes nothing more once a newer attempt has taken over', async () => {
    const { status, saved, superseded } = keeper([false]);
    status.active(1);
    await status.flush();
    status.complete(2);
    await status.flush();
    expect(saved).toEqual([]);
    expect(superseded()).toBe(1);
  });

  it('tries again when Redis is away', async () => {
    const { status, saved } = keeper([new Error('connection lost'), true]);
    status.active(1);
    await status.flush();
    expect(saved).toHaveLength(1);
  });
});
