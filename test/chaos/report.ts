/** What a chaos run tells at its end. */
import type { EgressInfo } from 'livekit-server-sdk';
import { EgressStatus } from '@livekit/protocol';
import { table } from '../../src/demo/table.ts';
import type { Account } from './account.ts';
import type { RecordingName } from './recordings.ts';
import type { Happened } from './storm.ts';

export function report({
  happened,
  accounts,
  infos,
  say,
}: {
  happened: readonly Happened[];
  accounts: readonly Account[];
  infos: ReadonlyMap<RecordingName, EgressInfo>;
  say: (text: string) => void;
}): void {
  const counts = new Map<string, number>();
  for (const { fault } of happened) counts.set(fault.name, (counts.get(fault.name) ?? 0) + 1);
  say(`\n${happened.length} faults tried\n`);
  say(table([['fault', 'times'], ...[...counts].map(([name, count]) => [name, String(count)])]));
  say('\nseconds of media\n');
  const sum = (pick: (each: Account) => number) => accounts.reduce((total, each) => total + pick(each), 0);
  const lost = ({ lost: by }: Account) => [...by.values()].reduce((total, each) => total + each, 0);
  say(
    table([
      ['recording', 'expected', 'recorded', 'lost', 'why'],
      ...accounts.map((each) => [
        each.name,
        String(each.expected),
        String(each.recorded),
        String(lost(each)),
        [...each.lost].map(([why, seconds]) => `${seconds} ${why}`).join('; '),
      ]),
      [
        'all',
        String(sum((each) => each.expected)),
        String(sum((each) => each.recorded)),
        String(sum(lost)),
        '',
      ],
    ]),
  );
  for (const [name, { status, details }] of infos) say(`${name}: ${EgressStatus[status]}; ${details}`);
  for (const { name, wrong } of accounts) for (const each of wrong) say(`WRONG: ${name}: ${each}`);
}
