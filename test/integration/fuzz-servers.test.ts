/** Real servers under damaged requests: each is answered, nothing is left behind, and the server goes on. */
import { expect, test } from 'vitest';
import { bridgeFuzzer } from '../fuzz/bridge.ts';
import { describeReport, runFuzzer } from '../fuzz/fuzzer.ts';
import { patchFuzzer } from '../fuzz/patch.ts';
import { playlistsFuzzer } from '../fuzz/playlists.ts';
import { twirpFuzzer } from '../fuzz/twirp.ts';

const MIB = 1024 * 1024;
const SEED = 7431;

/** Least share of inputs that get past the first step, and outcomes that have to be among those seen. */
test.each([
  [
    twirpFuzzer,
    0.5,
    ['400 malformed', '400 invalid_argument', '404 not_found', '200 RoomService/CreateRoom'],
  ],
  [bridgeFuzzer, 0.6, ['to the end, 1 done, 4 refused']],
  [patchFuzzer, 0.3, ['200 restarted', '204', '400', '412', '415', '428']],
  [playlistsFuzzer, 0.4, ['403']],
])('$name', async (fuzzer, share, kinds) => {
  const target = await fuzzer.start();
  try {
    const report = await runFuzzer(target, { seed: SEED, count: fuzzer.count });
    process.stdout.write(`${describeReport(fuzzer.name, SEED, report)}\n`);
    expect(report.crashes).toEqual([]);
    expect(report.past / report.runs).toBeGreaterThan(share);
    expect([...report.kinds.keys()]).toEqual(expect.arrayContaining(kinds));
    expect(report.peak).toBeLessThan(384 * MIB);
    expect(report.grown).toBeLessThan(32 * MIB);
  } finally {
    await target.close?.();
  }
});
