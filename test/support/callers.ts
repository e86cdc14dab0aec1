/** Test participants in a room of a running Sluice, and where they are in its picture. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TrackType } from '@livekit/protocol';
import { EncodingOptions } from 'livekit-server-sdk';
import { pino } from 'pino';
import { startTestPublisher } from '../../src/demo/publisher.ts';
import type { TestPublisher, TestPublisherOptions } from '../../src/demo/publisher.ts';
import { gridLayout } from '../../src/egress/composition/layout.ts';
import { fitPicture } from '../../src/demo/content/analyse.ts';
import type { Rect } from '../../src/demo/content/analyse.ts';
import type { Sluice } from './sluice.ts';

export const quiet = pino({ level: process.env.SLUICE_TEST_LOG ?? 'silent' });

/**
 * Publishes a test participant over WHIP: of 320×180, whose parts can still be read in a recording, at two thirds of the
 * processor time of the usual 640×360.
 */
export async function publish(
  sluice: Sluice,
  room: string,
  identity: string,
  options: Omit<TestPublisherOptions, 'whipUrl' | 'token' | 'logger'>,
): Promise<TestPublisher> {
  return startTestPublisher({
    whipUrl: `${sluice.url}/whip`,
    token: await sluice.token(identity, { room, canPublish: true }),
    logger: quiet,
    width: 320,
    height: 180,
    ...options,
  });
}

/** For rooms whose encoding is not what is looked at: a quarter of the default's picture, and of its cost. */
export const SMALL_CANVAS = { width: 640, height: 360 };
export const SMALL = new EncodingOptions({ ...SMALL_CANVAS, videoBitrate: 900 });

/** Where picture `index` of `count` is in a grid, for sources of 16:9. */
export function gridRegion(index: number, count: number, canvas = { width: 1280, height: 720 }): Rect {
  const tile = gridLayout(
    Array.from({ length: count }, (_, each) => String(each)),
    canvas,
  )[index];
  if (!tile) throw new Error(`a grid of ${count} has no picture ${index}`);
  return fitPicture(tile, 1280, 720);
}

/** Track ids of a participant by kind, once they are published. */
export async function trackIds(
  sluice: Sluice,
  room: string,
  identity: string,
): Promise<{ audio: string | undefined; video: string | undefined }> {
  // A publisher is connected a moment before its tracks are there, one a moment before the other.
  let deadline = performance.now() + 3000;
  for (;;) {
    const { tracks } = await sluice.rooms.getParticipant(room, identity);
    const [audio, video] = [TrackType.AUDIO, TrackType.VIDEO].map(
      (kind) => tracks.find(({ type }) => type === kind)?.sid,
    );
    const now = performance.now();
    if ((audio && video) || now > deadline) return { audio, video };
    if (audio ?? video) deadline = Math.min(deadline, now + 300);
    await sleep(50);
  }
}
