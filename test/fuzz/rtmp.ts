/** Sessions of RTMP publishers: each ends once, with a reason that shows no key, and keeps nothing. */
import assert from 'node:assert/strict';
import { obsLikeSession } from '../support/rtmp-bytes.ts';
import { RECORDED_KEY, recordSessions } from '../support/rtmp-recording.ts';
import type { Recording } from '../support/rtmp-recording.ts';
import { harness, settle } from '../support/rtmp-session.ts';
import { fuzzer } from './fuzzer.ts';
import type { Target } from './fuzzer.ts';
import { damagedSession, sourcesOf } from './rtmp-mutations.ts';
import type { MutatedSession } from './rtmp-mutations.ts';

/** Small, so that they are reached. */
export const SMALL_LIMITS = {
  maxEarlyBytes: 128 * 1024,
  maxMessageBytes: 256 * 1024,
  maxPendingBytes: 512 * 1024,
  maxChunkStreams: 16,
};

/** Of FFmpeg, GStreamer and librtmp, and one as OBS does it. */
export const recordedSessions = async (): Promise<Recording[]> => [
  ...(await recordSessions()),
  { name: 'OBS-like', bytes: obsLikeSession(RECORDED_KEY) },
];

export interface RtmpTarget extends Target<MutatedSession> {
  /** How many sessions got how far. */
  passed: { handshake: number; connect: number; publish: number; media: number; clean: number };
  coverage(): string;
}

export function rtmpTarget(recordings: readonly Recording[]): RtmpTarget {
  const sources = sourcesOf(recordings);
  const passed = { handshake: 0, connect: 0, publish: 0, media: 0, clean: 0 };
  let [runs, mostPending] = [0, 0];
  return {
    passed,
    make: (index, next) => damagedSession(sources, index, next),
    async run({ pieces }, next) {
      const fate = next();
      const seen = harness({
        limits: SMALL_LIMITS,
        ...(fate < 0.05 ? { authorise: async ({ streamKey }) => ({ refuse: `not ${streamKey}` }) } : {}),
        ...(fate > 0.97 ? { authorise: async () => Promise.reject(new Error('down')) } : {}),
      });
      const { session } = seen;
      const refusing = fate < 0.05 || fate > 0.97;
      for (const piece of pieces) {
        session.receive(piece);
        mostPending = Math.max(mostPending, session.pendingBytes);
        if (seen.calls.at(-1) === 'pause' && next() < 0.5) await settle();
        if (seen.closed.length > 0) break;
      }
      await settle();
      const past = session.stage !== 'handshake' && seen.sent.length > 0;
      runs += 1;
      if (past) passed.handshake += 1;
      // The answer to connect is four messages after the handshake.
      if (seen.sent.length > 4) passed.connect += 1;
      if (seen.requests.length > 0) passed.publish += 1;
      if (seen.tags.length > 0) passed.media += 1;
      if (seen.closed.length === 0) {
        passed.clean += 1;
        seen.clock.now += next() < 0.5 ? 60_000 : 0;
        session.check();
        session.hungUp('hung up');
      }
      const [end, ...more] = seen.closed;
      assert.ok(end && more.length === 0, 'closed once');
      assert.match(end.reason, /^[\x20-\x7e]{8,200}$/);
      for (const { streamKey } of seen.requests) {
        if (streamKey.length > 7) assert.ok(!end.reason.includes(streamKey), 'a stream key');
      }
      if (end.cause !== undefined) assert.deepEqual(end.cause, new Error('down'));
      // Whoever was accepted hears of the end, also when it came before the answer.
      assert.equal(seen.ends.length, refusing ? 0 : seen.requests.length);
      assert.equal(session.pendingBytes, 0);
      assert.ok(mostPending <= 2 * SMALL_LIMITS.maxPendingBytes, `${mostPending} bytes pending`);
      for (const { timestamp, payload } of seen.tags) {
        assert.ok(timestamp >= 0 && Number.isSafeInteger(timestamp) && payload.length > 0);
      }
      const kind = end.reason.replaceAll(/\d+/g, 'N').replace(/command \S+ came/, 'command … came');
      return { kind, past };
    },
    coverage() {
      const share = (count: number): string => `${((100 * count) / Math.max(1, runs)).toFixed(1)} %`;
      return (
        `  ${share(passed.handshake)} past the handshake, ${share(passed.connect)} connected, ` +
        `${share(passed.publish)} asked to publish, ${share(passed.media)} gave media, ` +
        `${share(passed.clean)} without a breach; at most ${mostPending} bytes pending`
      );
    },
  };
}

export const rtmpFuzzer = fuzzer<MutatedSession>({
  name: 'rtmp',
  about: 'sessions of RTMP publishers, recorded of FFmpeg, GStreamer and librtmp',
  count: 10_000,
  start: async () => rtmpTarget(await recordedSessions()),
});
