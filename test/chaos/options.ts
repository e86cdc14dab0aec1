/** What `./sluice chaos` is told. */
import { parseArgs } from 'node:util';
import { STORAGE_AWAY_S } from './faults.ts';

/** Room for the longest fault, and for others before and after it. */
const FULL_MINUTES_LEAST = STORAGE_AWAY_S / 60 + 2;

export interface ChaosOptions {
  /** How long faults happen. */
  minutes: number;
  seed: number;
  /** Seconds every gap may be longer than promised, for machines that have other things to do. */
  slack: number;
  /** Long faults as long as was promised; undefined: in long runs. */
  full: boolean | undefined;
  logs: string | undefined;
}

/** @throws Error that says which option is wrong, and what is possible */
export function chaosOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '5' },
      seed: { type: 'string', default: String(1 + Math.floor(Math.random() * 1e6)) },
      slack: { type: 'string', default: '0.5' },
      full: { type: 'boolean' },
      logs: { type: 'string' },
    },
  });
  const [minutes, seed, slack] = [Number(values.minutes), Number(values.seed), Number(values.slack)];
  if (!(minutes >= 0.2 && minutes <= 1440))
    throw new Error(`--minutes ${values.minutes}: 0.2 to 1440 are possible`);
  if (!Number.isInteger(seed) || seed < 1 || seed > 2_147_483_646)
    throw new Error(`--seed ${values.seed}: a whole number from 1 to 2147483646 is needed`);
  if (!(slack >= 0 && slack <= 10)) throw new Error(`--slack ${values.slack}: 0 to 10 are possible`);
  if (values.full && minutes < FULL_MINUTES_LEAST)
    throw new Error(
      `--full: the storage is away for ${STORAGE_AWAY_S / 60} minutes, so --minutes ${FULL_MINUTES_LEAST} or more`,
    );
  return { minutes, seed, slack, full: values.full, logs: values.logs };
}
