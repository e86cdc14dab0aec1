/** A published track over its mediasoup producer. */
import type { TrackSource } from '@livekit/protocol';
import { SimulcastCodecInfo, TrackInfo, TrackType, VideoLayer, VideoQuality } from '@livekit/protocol';
import { parseScalabilityMode } from 'mediasoup';
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { SfuEvents } from './events.ts';
import { newTrackId } from './ids.ts';
import { KeyFrameSchedule } from './key-frame-schedule.ts';
import type { SfuParticipant, SfuTrack, TrackOptions } from './types.ts';

/** What a mediasoup keyframe trace tells of the packet. */
const keyFrameTraceSchema = z.object({ rtpPacket: z.object({ ssrc: z.number() }) });

export class Track implements SfuTrack {
  readonly sid: string;
  readonly participant: SfuParticipant;
  readonly producer: ms.Producer;
  readonly mimeType: string;
  readonly source: TrackSource;
  readonly name: string;
  readonly #options: TrackOptions;
  readonly #events: SfuEvents;
  readonly #logger: Logger;
  readonly #schedule = new KeyFrameSchedule();
  readonly #requestListeners = new Set<() => void>();
  #traced = '';

  constructor(
    participant: SfuParticipant,
    producer: ms.Producer,
    options: TrackOptions,
    events: SfuEvents,
    logger: Logger,
  ) {
    this.participant = participant;
    this.producer = producer;
    this.source = options.source;
    this.name = options.name ?? '';
    this.sid = newTrackId(producer.kind, options.source);
    this.mimeType = producer.rtpParameters.codecs[0]?.mimeType ?? producer.kind;
    this.#options = options;
    this.#events = events;
    this.#logger = logger.child({ trackId: this.sid });
    producer.observer.on('pause', () => this.#mutedChanged());
    producer.observer.on('resume', () => this.#mutedChanged());
    producer.observer.on('trace', (trace) => this.#trace(trace));
    producer.observer.once('close', () => this.#schedule.close());
  }

  get kind(): 'audio' | 'video' {
    return this.producer.kind;
  }

  get muted(): boolean {
    return this.producer.paused;
  }

  get spatialLayers(): number {
    const { encodings } = this.producer.rtpParameters;
    if (this.producer.type === 'simulcast') return encodings?.length ?? 1;
    if (this.producer.type === 'svc')
      return parseScalabilityMode(encodings?.[0]?.scalabilityMode).spatialLayers;
    return 1;
  }

  info(): TrackInfo {
    const { width = 0, height = 0, stream = '' } = this.#options;
    const mid = this.producer.rtpParameters.mid ?? '';
    const layers = this.#layers(width, height);
    return new TrackInfo({
      sid: this.sid,
      type: this.kind === 'audio' ? TrackType.AUDIO : TrackType.VIDEO,
      name: this.name,
      muted: this.muted,
      source: this.source,
      mimeType: this.mimeType,
      mid,
      stream,
      width,
      height,
      simulcast: this.producer.type === 'simulcast',
      layers,
      codecs: [new SimulcastCodecInfo({ mimeType: this.mimeType, mid, layers })],
      stereo: this.producer.rtpParameters.codecs[0]?.parameters?.stereo === 1,
    });
  }

  async setMuted(muted: boolean): Promise<void> {
    if (muted) await this.producer.pause();
    else await this.producer.resume();
  }

  requestKeyFrameCadence(intervalMs: number, consumer: ms.Consumer): () => void {
    const release = this.#schedule.add({
      intervalMs,
      layer: () => receivedLayer(consumer),
      request: () => {
        consumer.requestKeyFrame().catch((err: unknown) => {
          if (!consumer.closed) this.#logger.warn({ err }, 'keyframe request failed');
        });
      },
    });
    this.#updateTrace();
    return () => {
      release();
      this.#updateTrace();
    };
  }

  onKeyFrameRequest(listener: () => void): () => void {
    const entry = (): void => listener();
    this.#requestListeners.add(entry);
    this.#updateTrace();
    return () => {
      this.#requestListeners.delete(entry);
      this.#updateTrace();
    };
  }

  close(): void {
    this.producer.close();
  }

  #layers(width: number, height: number): VideoLayer[] {
    if (this.kind === 'audio') return [];
    const { encodings = [] } = this.producer.rtpParameters;
    return encodings.map((encoding, spatialLayer) => {
      // As WebRTC clients scale them: each layer half the one above.
      const scale = 2 ** (encodings.length - 1 - spatialLayer);
      return new VideoLayer({
        // A single layer is the HIGH one, two are MEDIUM and HIGH... counted from the top.
        quality: qualityFromTop(encodings.length - 1 - spatialLayer),
        width: Math.floor(width / scale),
        height: Math.floor(height / scale),
        bitrate: encoding.maxBitrate ?? 0,
        ssrc: encoding.ssrc ?? 0,
        rid: encoding.rid ?? '',
        spatialLayer,
      });
    });
  }

  #mutedChanged(): void {
    if (this.participant.permissions.hidden) return;
    this.#events.emit({ type: 'track_muted', track: this });
  }

  /** mediasoup reports keyframes and requests only while somebody wants to know. */
  #updateTrace(): void {
    const types: ms.ProducerTraceEventType[] = [];
    if (this.#schedule.active) types.push('keyframe');
    if (this.#requestListeners.size > 0) types.push('pli', 'fir');
    if (this.#traced === types.join() || this.producer.closed) return;
    this.#traced = types.join();
    this.producer.enableTraceEvent(types).catch((err: unknown) => {
      if (!this.producer.closed) this.#logger.warn({ err }, 'keyframe trace could not be switched');
    });
  }

  #trace(trace: ms.ProducerTraceEventData): void {
    if (trace.type === 'pli' || trace.type === 'fir') {
      for (const listener of [...this.#requestListeners]) this.#call(listener);
    } else if (trace.type === 'keyframe') {
      const info = keyFrameTraceSchema.safeParse(trace.info);
      if (info.success) this.#schedule.keyFrame(this.#layerOf(info.data.rtpPacket.ssrc));
    }
  }

  #call(listener: () => void): void {
    try {
      listener();
    } catch (err) {
      this.#logger.error({ err }, 'listener of a keyframe request threw');
    }
  }

  #layerOf(ssrc: number): number {
    if (this.producer.type !== 'simulcast') return 0;
    return this.producer.score.find((stream) => stream.ssrc === ssrc)?.encodingIdx ?? 0;
  }
}

/** The simulcast layer a consumer receives; undefined while it receives nothing. */
function receivedLayer(consumer: ms.Consumer): number | undefined {
  if (consumer.closed || consumer.paused || consumer.producerPaused) return undefined;
  if (consumer.type !== 'simulcast') return 0;
  return consumer.currentLayers?.spatialLayer;
}

function qualityFromTop(fromTop: number): VideoQuality {
  if (fromTop === 0) return VideoQuality.HIGH;
  return fromTop === 1 ? VideoQuality.MEDIUM : VideoQuality.LOW;
}
