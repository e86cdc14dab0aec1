/** Damaged offers are answered, or refused with an SdpError; nothing else ever comes out. */
import { expect, test } from 'vitest';
import { parseFragment } from '../../src/signaling/sdp/fragment.ts';
import { describeReport, runFuzzer } from '../fuzz/fuzzer.ts';
import { mutations } from '../fuzz/sdp-mutations.ts';
import { refusable, sdpFuzzer } from '../fuzz/sdp.ts';
import { offers } from '../support/offers.ts';

const SEED = 9725;

test('damaged offers', async () => {
  const report = await runFuzzer(await sdpFuzzer.start(), { seed: SEED, count: sdpFuzzer.count });
  process.stdout.write(`${describeReport('sdp', SEED, report)}\n`);
  expect(report.crashes).toEqual([]);
  expect(report.past / report.runs).toBeGreaterThan(0.3);
  for (const kind of ['published', 'watched', 'published and watched', 'refused', 'no SDP']) {
    expect(report.kinds.get(kind) ?? 0, kind).toBeGreaterThan(5);
  }
});

test('damaged fragments', () => {
  const fragments = [...offers.values()].map((offer) =>
    (offer.match(/^(a=ice-ufrag|a=ice-pwd|m=|a=mid).*$/gm) ?? []).join('\r\n'),
  );
  let passed = 0;
  for (const { sdp } of mutations(1000, SEED + 1)) {
    const lines = sdp.split(/\r?\n/).filter((line) => /ice|^m=|mid|candidate/.test(line));
    const fragment = `${fragments[passed % fragments.length] ?? ''}\r\n${lines.join('\r\n')}`;
    if (refusable(() => parseFragment(fragment))) passed += 1;
  }
  expect(passed).toBeGreaterThan(100);
});
