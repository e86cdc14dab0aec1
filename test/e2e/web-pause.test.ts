/** A streamed page that is paused: its stream goes on in black and silence, its file closes the pause up. */
import { EgressStatus } from '@livekit/protocol';
import { EncodedFileOutput, EncodingOptions, StreamOutput, StreamProtocol } from 'livekit-server-sdk';
import type { EgressInfo } from 'livekit-server-sdk';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { analyse } from '../../src/demo/content/analyse.ts';
import { startRtmpReceiver } from '../support/rtmp-receiver.ts';
import type { RtmpReceiver } from '../support/rtmp-receiver.ts';
import { Sluice } from '../support/sluice.ts';
import { startWebPages } from '../support/web-pages.ts';
import type { WebPages } from '../support/web-pages.ts';

const PAUSE_MS = 3000;
const ENCODING = new EncodingOptions({ width: 640, height: 360, framerate: 15, videoBitrate: 900 });

let sluice: Sluice;
let pages: WebPages;
let receiver: RtmpReceiver;

beforeAll(async () => {
  pages = await startWebPages();
  receiver = await startRtmpReceiver();
  sluice = await Sluice.start();
});

afterAll(async () => {
  await sluice?.stop();
  await receiver?.close();
  await pages?.close();
});

const ended = ({ status }: EgressInfo): boolean => status >= EgressStatus.EGRESS_COMPLETE;

test('a page that is paused is neither seen nor heard, and its stream stays connected', async () => {
  const call = async (method: string, egressId: string) => {
    const response = await fetch(`${sluice.url}/twirp/sluice.Egress/${method}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await sluice.token('recorder', { roomRecord: true })}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ egress_id: egressId }),
    });
    expect([method, response.status]).toEqual([method, 200]);
  };
  const { egressId } = await sluice.egress.startWebEgress(
    `${pages.url}/marked?color=green`,
    {
      file: new EncodedFileOutput({ filepath: 'page' }),
      stream: new StreamOutput({ protocol: StreamProtocol.RTMP, urls: [receiver.url('k3y')] }),
    },
    { encodingOptions: ENCODING },
  );
  await sluice.waitForEgress(egressId, ({ status }) => status >= EgressStatus.EGRESS_ACTIVE);
  await expect.poll(() => receiver.published.length, { timeout: 15_000 }).toBe(1);
  await sleep(2500);
  await call('PauseEgress', egressId);
  await sleep(PAUSE_MS);
  await call('ResumeEgress', egressId);
  await sleep(3000);
  await sluice.egress.stopEgress(egressId);
  const info = await sluice.waitForEgress(egressId, ended);
  expect(info.status).toBe(EgressStatus.EGRESS_COMPLETE);

  const tiles = [{ name: 'page', color: 'green' as const, fps: 15 }];
  expect(receiver.published, 'one connection').toHaveLength(1);
  const streamed = await analyse(await receiver.write(receiver.published[0]!), { tiles });
  const [black, ...more] = streamed.video!.black;
  expect(more).toEqual([]);
  const length = black!.to - black!.from;
  // What is in the pipeline when it is paused still goes out; what was asked for when it is resumed is there at once.
  expect(length).toBeGreaterThan(PAUSE_MS / 1000 - 0.9);
  expect(length).toBeLessThan(PAUSE_MS / 1000 + 1);
  const silent = streamed.audio!.silence.find(({ from }) => Math.abs(from - black!.from) < 0.5);
  expect(silent, JSON.stringify(streamed.audio!.silence)).toBeDefined();
  expect(silent!.to - silent!.from).toBeGreaterThan(length - 0.4);

  const file = await analyse(info.fileResults[0]!.location, { tiles });
  expect(file.video!.black).toEqual([]);
  expect(file.duration).toBeLessThan(streamed.duration - length + 0.5);
  expect(file.tiles[0]!.unreadable).toBe(0);
});
