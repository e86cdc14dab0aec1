/** A look at what a track carries: a short while, through a consumer of our own. */
import type { types as ms } from 'mediasoup';
import type { SfuTrack } from '../../sfu/types.ts';
import { parseRtp, sizeOf } from './rtp-picture.ts';

/** What was seen; undefined: nothing of it. */
export interface Sample {
  /** Pixels, of the largest layer that came. */
  width: number | undefined;
  height: number | undefined;
  /** Frames a second. */
  framerate: number | undefined;
  /** 1 or 2, of Opus: what is coded, whatever was negotiated. */
  channels: number | undefined;
}

const WINDOW_SECONDS = 2;
const VIDEO_CLOCK = 90_000;
/** A sample ends by then, whatever came, ms. */
const DEADLINE_MS = 8000;
/** mediasoup may begin with a lower layer and go up; how long it is waited for, ms. */
const TOP_LAYER_MS = 4000;
/** Of a sound, ms. */
const AUDIO_MS = 500;

/**
 * Costs the publisher one keyframe at most: a consumer begins with one.
 * @throws what mediasoup throws when transport or track close meanwhile
 */
export async function takeSample(
  transport: ms.DirectTransport,
  router: ms.Router,
  track: SfuTrack,
): Promise<Sample> {
  const consumer = await transport.consume({
    producerId: track.producer.id,
    rtpCapabilities: router.rtpCapabilities,
    paused: true,
  });
  try {
    const seen = track.kind === 'video' ? watchVideo(consumer, track) : listen(consumer, track);
    await consumer.resume();
    return await seen;
  } finally {
    consumer.close();
  }
}

function watchVideo(consumer: ms.Consumer, track: SfuTrack): Promise<Sample> {
  const began = performance.now();
  let size: { width: number; height: number } | undefined;
  let first: number | undefined;
  let last = 0;
  let frames = 0;
  const span = () => (first === undefined ? 0 : ((last - first) >>> 0) / VIDEO_CLOCK);
  const isTop = () =>
    consumer.type !== 'simulcast' ||
    consumer.currentLayers?.spatialLayer === track.spatialLayers - 1 ||
    performance.now() - began > TOP_LAYER_MS;
  // Another layer is another picture.
  consumer.on('layerschange', () => (first = undefined));
  return untilDone(consumer, DEADLINE_MS, (done) => {
    consumer.on('rtp', (bytes) => {
      const packet = parseRtp(bytes);
      if (!packet) return;
      size = sizeOf(track.mimeType, packet.payload) ?? size;
      if (first === undefined) {
        first = packet.timestamp;
        frames = 1;
      } else if (packet.timestamp !== last) {
        frames += 1;
      }
      last = packet.timestamp;
      if (span() >= WINDOW_SECONDS && isTop()) done();
    });
  }).then(() => ({
    width: size?.width,
    height: size?.height,
    framerate: frames > 2 && span() > 0 ? Math.round(((frames - 1) / span()) * 10) / 10 : undefined,
    channels: undefined,
  }));
}

/** The stereo bit of the packets' first byte (RFC 6716 §3.1). */
function listen(consumer: ms.Consumer, track: SfuTrack): Promise<Sample> {
  let channels: number | undefined;
  return untilDone(consumer, AUDIO_MS, () => {
    consumer.on('rtp', (bytes) => {
      const [toc] = parseRtp(bytes)?.payload ?? [];
      if (toc === undefined || track.mimeType.toLowerCase() !== 'audio/opus') return;
      channels = Math.max(channels ?? 1, toc & 4 ? 2 : 1);
    });
  }).then(() => ({ width: undefined, height: undefined, framerate: undefined, channels }));
}

function untilDone(
  consumer: ms.Consumer,
  deadlineMs: number,
  start: (done: () => void) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, deadlineMs);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    consumer.observer.once('close', done);
    start(done);
  });
}
