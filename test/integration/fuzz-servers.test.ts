/** Real servers under damaged requests: each is answered, nothing is left behind, and the server goes on. */
import { expect, test } from 'vitest';
import { rawCall, startApi, token } from '../support/api.ts';
import { bridgeFuzzer } from '../fuzz/bridge.ts';
import { describeReport, runFuzzer } from '../fuzz/fuzzer.ts';
import { patchFuzzer } from '../fuzz/patch.ts';
import { playlistsFuzzer } from '../fuzz/playlists.ts';
import { twirpFuzzer } from '../fuzz/twirp.ts';

const MIB = 1024 * 1024;
const SEED = 7431;

test('found by fuzzing: null for a message of a oneof is a message that is not there', async () => {
  const api = await startApi();
  try {
    await api.sfu.createRoom({ name: 'room' });
    const call = async (method: string, body: object | null) => {
      const answer = await rawCall(`${api.url}/twirp/livekit.Egress/${method}`, {
        auth: await token({ roomRecord: true }),
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      return { status: answer.status, ...answer.json() };
    };
    const track = { room_name: 'room', track_id: 'TR_none', file: null };
    expect(await call('StartTrackEgress', track)).toMatchObject({ status: 400, code: 'invalid_argument' });
    const file = { filepath: 'x.mp4', s3: null };
    expect(await call('StartTrackEgress', { ...track, file })).toMatchObject({
      status: 404,
      code: 'not_found',
    });
    expect(await call('StartRoomCompositeEgress', { room_name: 'nowhere', file })).toMatchObject({
      status: 404,
    });
    const urls = { egress_id: 'EG_none', add_output_urls: [null] };
    expect(await call('UpdateStream', urls)).toMatchObject({ status: 400, code: 'malformed' });
    expect(await call('ListEgress', null)).toMatchObject({ status: 400, code: 'malformed' });
  } finally {
    await api.stop();
  }
});

/** Least share of inputs that get past the first step, and outcomes that have to be among those seen. */
test.each([
  [
    twirpFuzzer,
    0.5,
    ['400 malformed', '400 invalid_argument', '404 not_found', '200 livekit.RoomService/CreateRoom'],
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
