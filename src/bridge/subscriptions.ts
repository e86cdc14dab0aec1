/** The tracks a worker receives: one PlainTransport and one consumer each. */
import { randomUUID } from 'node:crypto';
import type { types as ms } from 'mediasoup';
import type { SfuParticipant, SfuTrack } from '../sfu/types.ts';
import { BridgeRequestError } from './errors.ts';
import type { BridgeEvent, BridgeParams, BridgeResult, BridgeSubscription } from './protocol.ts';
import { PreferredLayers } from './preferred-layers.ts';
import { findTrack, showCodec, workerCapabilities } from './view.ts';

interface Subscription {
  id: string;
  track: SfuTrack;
  transport: ms.PlainTransport;
  consumer: ms.Consumer;
  layers: PreferredLayers;
  /** Gives the wish for keyframes back. */
  endCadence: (() => void) | undefined;
}

export class Subscriptions {
  readonly #participant: SfuParticipant;
  readonly #remoteIp: (workerIp: string) => string;
  readonly #send: (event: BridgeEvent) => void;
  readonly #subscriptions = new Map<string, Subscription>();
  #closed = false;

  /** @param remoteIp the SFU's address for a worker that receives at `workerIp` */
  constructor(
    participant: SfuParticipant,
    remoteIp: (workerIp: string) => string,
    send: (event: BridgeEvent) => void,
  ) {
    this.#participant = participant;
    this.#remoteIp = remoteIp;
    this.#send = send;
  }

  /** @throws BridgeRequestError */
  async subscribe({ trackId, ip, port, srtp }: BridgeParams<'subscribe'>): Promise<BridgeSubscription> {
    const { room, permissions } = this.#participant;
    if (!permissions.canSubscribe) {
      throw new BridgeRequestError('not_allowed', 'the access token does not allow subscribing');
    }
    const track = findTrack(room, trackId);
    if (!track) throw new BridgeRequestError('not_found', `there is no track ${trackId} in the room`);
    const transport = await room.createPlainTransport({
      srtp: srtp !== undefined,
      ...(srtp && { cryptoSuite: srtp.cryptoSuite }),
    });
    let consumer: ms.Consumer;
    try {
      await transport.connect({ ip, port, ...(srtp && { srtpParameters: srtp }) });
      consumer = await transport.consume({
        producerId: track.producer.id,
        rtpCapabilities: workerCapabilities(track),
        paused: true,
        // Without it mediasoup takes NACK away; there is no RTX among the capabilities.
        enableRtx: true,
      });
    } catch (err) {
      transport.close();
      if (track.producer.closed) throw new BridgeRequestError('not_found', `track ${trackId} has gone`);
      throw err;
    }
    // The participant may have stayed for another worker.
    if (this.#closed || this.#participant.closed) {
      transport.close();
      throw new BridgeRequestError('not_joined', 'the participant has left the room');
    }
    const subscription: Subscription = {
      id: randomUUID(),
      track,
      transport,
      consumer,
      layers: new PreferredLayers(consumer, track.spatialLayers),
      endCadence: undefined,
    };
    this.#subscriptions.set(subscription.id, subscription);
    this.#watch(subscription);
    return this.#show(subscription, ip);
  }

  async unsubscribe({ subscriptionId }: BridgeParams<'unsubscribe'>): Promise<void> {
    this.#close(this.#get(subscriptionId));
  }

  async resume({ subscriptionId }: BridgeParams<'resume'>): Promise<void> {
    await this.#get(subscriptionId).consumer.resume();
  }

  async pause({ subscriptionId }: BridgeParams<'pause'>): Promise<void> {
    await this.#get(subscriptionId).consumer.pause();
  }

  async requestKeyFrame({ subscriptionId }: BridgeParams<'requestKeyFrame'>): Promise<void> {
    await this.#video(subscriptionId).consumer.requestKeyFrame();
  }

  async keyFrameCadence({ subscriptionId, intervalMs }: BridgeParams<'keyFrameCadence'>): Promise<void> {
    const subscription = this.#video(subscriptionId);
    const { track, consumer, endCadence } = subscription;
    // The new wish first, so that the schedule does not start afresh.
    subscription.endCadence = intervalMs > 0 ? track.requestKeyFrameCadence(intervalMs, consumer) : undefined;
    endCadence?.();
  }

  async setPreferredLayers(params: BridgeParams<'setPreferredLayers'>): Promise<void> {
    const { subscriptionId, spatialLayer, temporalLayer } = params;
    const { layers } = this.#video(subscriptionId);
    await layers.prefer({
      spatialLayer,
      ...(temporalLayer === undefined ? {} : { temporalLayer }),
    });
  }

  async stats({ subscriptionId }: BridgeParams<'stats'>): Promise<BridgeResult<'stats'>> {
    const stats = await this.#get(subscriptionId).consumer.getStats();
    return { stats: stats.map((stat) => ({ ...stat })) };
  }

  /** Ends every subscription, and those that are being made. */
  closeAll(): void {
    this.#closed = true;
    for (const subscription of [...this.#subscriptions.values()]) this.#close(subscription);
  }

  #watch(subscription: Subscription): void {
    const { id, track, consumer } = subscription;
    consumer.on('producerclose', () => {
      if (!this.#subscriptions.has(id)) return;
      this.#close(subscription);
      this.#send({ event: 'subscriptionClosed', subscriptionId: id, trackId: track.sid });
    });
    consumer.on('layerschange', (layers) => {
      const spatialLayer = layers?.spatialLayer ?? null;
      this.#send({ event: 'layersChanged', subscriptionId: id, spatialLayer });
    });
  }

  #show({ id, track, transport, consumer }: Subscription, workerIp: string): BridgeSubscription {
    const { codecs, encodings, rtcp } = consumer.rtpParameters;
    const [codec] = codecs;
    const ssrc = encodings?.[0]?.ssrc;
    if (!codec || ssrc === undefined) throw new Error('mediasoup made a consumer without codec or SSRC');
    return {
      subscriptionId: id,
      trackId: track.sid,
      kind: track.kind,
      codec: showCodec(codec),
      ssrc,
      cname: rtcp?.cname ?? '',
      type: consumer.type,
      spatialLayers: track.spatialLayers,
      remote: { ip: this.#remoteIp(workerIp), port: transport.tuple.localPort },
      ...(transport.srtpParameters && { srtp: transport.srtpParameters }),
      producerPaused: consumer.producerPaused,
    };
  }

  #close(subscription: Subscription): void {
    this.#subscriptions.delete(subscription.id);
    subscription.endCadence?.();
    subscription.transport.close();
  }

  #get(subscriptionId: string): Subscription {
    const subscription = this.#subscriptions.get(subscriptionId);
    if (!subscription)
      throw new BridgeRequestError('not_found', `there is no subscription ${subscriptionId}`);
    return subscription;
  }

  #video(subscriptionId: string): Subscription {
    const subscription = this.#get(subscriptionId);
    if (subscription.track.kind !== 'video') {
      throw new BridgeRequestError('invalid', 'the subscription is of sound: keyframes and layers are video');
    }
    return subscription;
  }
}
