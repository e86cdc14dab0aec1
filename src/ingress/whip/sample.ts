/** A look at what a track carries: a short while, through a consumer of our own. */
import type { types as ms } from 'mediasoup';
import type { SfuTrack } from '../../sfu/types.ts';
import type { FrameSize } from '../../media/vpx.ts';
import { parseRtp, sizeOf } from './rtp-picture.ts';
import type { RtpPacket } from './rtp-picture.ts';

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
/** Layers begin with their keyframes, one after the other: each gets its window by then, ms. */
const LAYERS_MS = 2500;
/** Of a sound, ms. */
const AUDIO_MS = 500;

/**
 * Costs the publisher one keyframe of each layer: a consumer begins with them.
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
    // Every layer as it comes. An ordinary consumer gets one layer, thinned out by a bandwidth estimate nobody feeds.
    pipe: true,
  });
  try {
    const seen = track.kind === 'video' ? watchVideo(consumer, track) : listen(consumer, track);
    await consumer.resume();
    return await seen;
  } finally {
    consumer.close();
  }
}

/** A simulcast layer (or the only stream) as it passes. */
class Stream {
  #size: FrameSize | undefined;
  #first: number | undefined;
  #last = 0;
  #frames = 0;

  see(packet: RtpPacket, mimeType: string): void {
    this.#size = sizeOf(mimeType, packet.payload) ?? this.#size;
    if (packet.timestamp === this.#last && this.#first !== undefined) return;
    this.#first ??= packet.timestamp;
    this.#last = packet.timestamp;
    this.#frames += 1;
  }

  get size(): FrameSize | undefined {
    return this.#size;
  }

  get seconds(): number {
    return this.#first === undefined ? 0 : ((this.#last - this.#first) >>> 0) / VIDEO_CLOCK;
  }

  get framerate(): number | undefined {
    if (this.#frames < 3 || this.seconds === 0) return undefined;
    return Math.round(((this.#frames - 1) / this.seconds) * 10) / 10;
  }
}

async function watchVideo(consumer: ms.Consumer, track: SfuTrack): Promise<Sample> {
  const streams = new Map(
    (consumer.rtpParameters.encodings ?? []).map(({ ssrc }) => [ssrc, new Stream()] as const),
  );
  await untilDone(consumer, DEADLINE_MS, (done) => {
    let since: number | undefined;
    consumer.on('rtp', (bytes) => {
      const packet = parseRtp(bytes);
      const stream = packet && streams.get(packet.ssrc);
      if (!stream) return;
      since ??= performance.now();
      stream.see(packet, track.mimeType);
      if (performance.now() - since > LAYERS_MS && stream.seconds >= WINDOW_SECONDS) done();
    });
  });
  // Encodings go from low to high; an encoder that is short of bandwidth leaves out the highest.
  const top = [...streams.values()].findLast(({ framerate }) => framerate !== undefined);
  return {
    width: top?.size?.width,
    height: top?.size?.height,
    framerate: top?.framerate,
    channels: undefined,
  };
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
