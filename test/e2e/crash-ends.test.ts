/**
 * Egresses that lose their worker at the end: one that wakes up when another has finished the egress, and one process
 * with everything in it that is killed and started again.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { EgressStatus, EncodedFileOutput, S3Upload } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { expect, it } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import { publish, trackIds } from '../support/callers.ts';
import { startRedis } from '../support/redis.ts';
import { Sluice } from '../support/sluice.ts';
import { startSwift } from '../support/swift.ts';

const ROOM = 'fenced';
const BUCKET = 'fenced';

/** Well before the lock of a job runs out, 30 s. */
const FOUND_MS = 20_000;

const ended = ({ status }: EgressInfo) => status >= EgressStatus.EGRESS_COMPLETE;

it.concurrent(
  'a worker that wakes up late changes neither what is stored nor what is told of it',
  async () => {
    const [redis, swift] = await Promise.all([startRedis(), startSwift()]);
    await swift.createBucket(BUCKET);
    const sluice = await Sluice.start({ mode: 'split', redisUrl: redis.url });
    const first = await sluice.addWorker();
    const alice = await publish(sluice, ROOM, 'alice', { color: 'red', fps: 15 });
    try {
      const { audio, video } = await trackIds(sluice, ROOM, 'alice');
      const s3 = new S3Upload({
        ...{ accessKey: swift.accessKey, secret: swift.secret, region: swift.region },
        ...{ endpoint: swift.endpoint, bucket: BUCKET, forcePathStyle: true },
      });
      const { egressId } = await sluice.egress.startTrackCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath: 'alice', output: { case: 's3', value: s3 } }) },
        { ...(audio && { audioTrackId: audio }), ...(video && { videoTrackId: video }) },
      );
      await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
      await sleep(2000);
      swift.pause();
      await sluice.egress.stopEgress(egressId);
      await first.logged('file made');
      await sleep(300);
      first.child.kill('SIGSTOP');
      const second = await sluice.addWorker();
      await second.logged('job taken', 20_000);
      swift.resume();
      const info = await sluice.waitForEgress(egressId, ended, 40_000);
      expect(info.status, info.error).toBe(EgressStatus.EGRESS_COMPLETE);
      const look = async () => ({
        files: await swift.list(BUCKET),
        sha256: createHash('sha256')
          .update(await swift.get(BUCKET, 'alice.mp4'))
          .digest('hex'),
        info: (await sluice.egress.listEgress({ egressId }))[0]?.toJsonString(),
      });
      const before = await look();
      first.child.kill('SIGCONT');
      await first.logged('superseded');
      await sleep(3000);
      expect(await look()).toEqual(before);
      expect(before.files).toEqual([`${egressId}.json`, 'alice.mp4']);
      expect(first.output).toContain('"outcome":"superseded"');
    } catch (error) {
      throw new Error(sluice.tail(), { cause: error });
    } finally {
      await alice.stop();
      await sluice.stop();
      await swift.stop();
      await redis.stop();
    }
  },
  120_000,
);

it.concurrent(
  'sluice start that was killed finishes its recordings soon after it is started again',
  async () => {
    const sluice = await Sluice.start();
    const alice = await publish(sluice, ROOM, 'alice', { color: 'red', fps: 15 });
    try {
      const { audio, video } = await trackIds(sluice, ROOM, 'alice');
      const { egressId } = await sluice.egress.startTrackCompositeEgress(
        ROOM,
        { file: new EncodedFileOutput({ filepath: 'killed/alice' }) },
        { ...(audio && { audioTrackId: audio }), ...(video && { videoTrackId: video }) },
      );
      await sluice.waitForEgress(egressId, ({ status }) => status === EgressStatus.EGRESS_ACTIVE);
      const began = Date.now();
      await sleep(5000);
      sluice.main.child.kill('SIGKILL');
      await once(sluice.main.child, 'exit');
      const seconds = (Date.now() - began) / 1000;
      await sluice.restartMain();
      const info = await sluice.waitForEgress(egressId, ended, FOUND_MS);
      expect(info.status, info.error).toBe(EgressStatus.EGRESS_COMPLETE);
      expect(info.details).toContain('Source closed');
      const { duration, decodeErrors } = await analyse(info.fileResults[0]!.location, { tiles: [] });
      expect(decodeErrors).toEqual([]);
      expect(duration).toBeGreaterThan(seconds - 2);
      expect(duration).toBeLessThan(seconds + 2);
    } finally {
      await alice.stop();
      await sluice.stop();
    }
  },
  90_000,
);
