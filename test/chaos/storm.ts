/** Lets faults happen, one at a time for each target, in an order the seed decides. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Excuse } from './account.ts';
import type { Chance } from './chance.ts';
import type { Fault, Target } from './fault.ts';
import type { RecordingName } from './recordings.ts';
import type { Rig } from './rig.ts';
import type { Starved } from './witness.ts';

export interface Happened {
  fault: Fault;
  /** Wall clock, ms: when it began, and when its cause was over. */
  fromMs: number;
  toMs: number;
  what: string;
}

/** At most so many faults at once, on targets that have nothing to do with each other. */
const AT_ONCE = 3;
/** The first of the deck lets others past it for so long. */
const PATIENCE_MS = 5000;

/**
 * Every fault once in a random order, then again, until the time is over. Resolves when all are healed. When one
 * cannot be caused or healed no more begin, and it is told at the end: what was recorded until then is accounted for.
 */
export async function storm(
  rig: Rig,
  faults: readonly Fault[],
  { chance, ms, say }: { chance: Chance; ms: number; say: (text: string) => void },
): Promise<{ happened: Happened[]; failures: string[] }> {
  const start = Date.now();
  const happened: Happened[] = [];
  const busy = new Set<Target>();
  const running = new Set<Promise<void>>();
  const active = new Set<Fault>();
  const failures: string[] = [];
  // What lasts long has its turn first: later there might not be time for it any more.
  let deck = chance.shuffled(faults).sort((one, other) => (other.lasts ?? 0) - (one.lasts ?? 0));
  /** When the first of the deck became the first. */
  let waitingSince = start;

  const begin = async (fault: Fault) => {
    const fromMs = Date.now();
    const at = `${((fromMs - start) / 1000).toFixed(1).padStart(6)} s`;
    say(`${at}  ${fault.name}`);
    const what = await fault.cause(rig, chance);
    const toMs = Date.now();
    happened.push({ fault, fromMs, toMs, what });
    say(`${((toMs - start) / 1000).toFixed(1).padStart(6)} s    ${fault.name}: ${what}`);
    await sleep(fault.settle * 1000);
  };

  while (Date.now() - start < ms && failures.length === 0) {
    // One that lasts (a storage away for ten minutes) is not waited for when it is its own turn again.
    const leftS = (start + ms - Date.now()) / 1000;
    const mayBegin = (fault: Fault): boolean => !active.has(fault) && (fault.lasts ?? 0) <= leftS;
    if (!deck.some(mayBegin)) {
      // Shuffled all the same, the seed would be used up by the clock.
      if (!faults.some(mayBegin)) {
        await sleep(100);
        continue;
      }
      deck = chance.shuffled(faults);
    }
    const waiting = deck.filter(mayBegin);
    // What needs much at once would never have its turn if others were always let past it.
    const rest = Date.now() - waitingSince > PATIENCE_MS ? waiting.slice(0, 1) : waiting;
    const fault = rest.find(({ targets }) => targets.every((target) => !busy.has(target)));
    if (!fault || running.size >= AT_ONCE) {
      await sleep(100);
      continue;
    }
    if (fault === waiting[0]) waitingSince = Date.now();
    deck.splice(deck.indexOf(fault), 1);
    active.add(fault);
    for (const target of fault.targets) busy.add(target);
    const run = begin(fault)
      .catch((error: unknown) => {
        failures.push(`${fault.name}: ${String(error)}`);
      })
      .then(() => {
        for (const target of fault.targets) busy.delete(target);
        active.delete(fault);
        running.delete(run);
      });
    running.add(run);
    await sleep(chance.between(500, 3000));
  }
  await Promise.all(running);
  return { happened, failures };
}

/**
 * What may be missing from a recording, in its own time: what faults may cost, and what was not published.
 * @param person whom the recording is of
 * @param startedMs when it began, wall clock
 * @param slack seconds every gap may be longer than was promised
 */
export function excusesOf(
  { recording, person, startedMs }: { recording: RecordingName; person: string; startedMs: number },
  happened: readonly Happened[],
  starved: readonly Starved[],
  slack: number,
): Excuse[] {
  const seconds = (wallMs: number) => (wallMs - startedMs) / 1000;
  const unpublished = starved
    .filter(({ who }) => who === '' || who === person)
    .map(({ who, fromMs, toMs }) => ({
      ...({ kind: 'absence', most: 0, from: seconds(fromMs), to: seconds(toMs) } as const),
      reason: who === '' ? 'no processor time' : 'not published: no processor time',
    }));
  const lost = happened.flatMap(({ fault, fromMs, toMs }) =>
    fault.costs
      .filter(({ recordings }) => recordings.includes(recording))
      .map(({ kind, most, after }) => ({
        ...{ kind, most: most + slack, reason: fault.name },
        from: seconds(fromMs) - (kind === 'absence' ? 1.5 : 0),
        to: seconds(toMs) + after,
      })),
  );
  return [...lost, ...unpublished];
}
