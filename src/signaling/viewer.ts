/** What a WHEP session shows: the room's tracks on the slots of its offer, as they come and go. */
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import type { SfuParticipant, SfuRoom, SfuTrack } from '../sfu/types.ts';
import type { MatchedCodec } from './sdp/codecs.ts';
import { consumeCapabilities } from './sdp/playback.ts';
import type { PlaybackPlan, PlaybackSlot } from './sdp/playback.ts';
import { chooseSlot } from './slots.ts';
import type { Slot } from './slots.ts';

export interface ViewerOptions {
  room: SfuRoom;
  viewer: SfuParticipant;
  transport: ms.WebRtcTransport;
  /** Of the transport. */
  router: ms.Router;
  /** Id by which a producer of the room is consumed on that router. */
  source(producer: ms.Producer): Promise<string>;
  plan: PlaybackPlan;
  /** Show only this participant. */
  identity: string | undefined;
  /** Preferred spatial layer of simulcast tracks; undefined is the highest. */
  layer: ((layers: number) => number) | undefined;
  logger: Logger;
}

/** A section of the viewer's offer and the track on it. */
export interface ViewerSlot extends Slot {
  readonly section: PlaybackSlot;
  track: SfuTrack | undefined;
  consumer: ms.Consumer | undefined;
}

export class Viewer {
  readonly slots: readonly ViewerSlot[];
  readonly #options: ViewerOptions;
  readonly #unsubscribe: (() => void)[];
  /** Tracks this viewer cannot play, so that nobody tries again and again. */
  readonly #unplayable = new WeakSet<SfuTrack>();
  #fillable = true;
  #live = false;
  #closed = false;
  #work: Promise<void> = Promise.resolve();

  constructor(options: ViewerOptions) {
    this.#options = options;
    const ranks = { audio: 0, video: 0 };
    this.slots = options.plan.slots.map((section) => ({
      section,
      kind: section.kind,
      rank: ranks[section.kind]++,
      owner: undefined,
      track: undefined,
      consumer: undefined,
    }));
    this.#unsubscribe = [
      options.room.on(({ type }) => {
        if (type === 'track_published' || type === 'track_unpublished') void this.refresh();
      }),
      options.viewer.onUpdate(() => void this.refresh()),
    ];
  }

  /** Puts every track that is there now on a slot, as far as there are any. Never throws. */
  refresh(): Promise<void> {
    this.#work = this.#work.then(() => this.#fill());
    return this.#work;
  }

  /** The answer is written. Where it had to name the streams, no others can follow. */
  answered(): void {
    if (this.#options.plan.demux === 'ssrc') this.#fillable = false;
  }

  /** The connection is up: media may flow. */
  async goLive(): Promise<void> {
    this.#live = true;
    await Promise.all(this.slots.map(async ({ consumer }) => consumer && this.#resume(consumer)));
  }

  close(): void {
    this.#closed = true;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  async #fill(): Promise<void> {
    const wanted = this.#wanted();
    const { transport } = this.#options;
    for (const slot of this.slots) {
      if (slot.track && !wanted.includes(slot.track)) this.#free(slot);
    }
    for (const track of wanted) {
      if (this.#closed || !this.#fillable) return;
      if (this.#unplayable.has(track) || this.slots.some((slot) => slot.track === track)) continue;
      const owner = track.participant.sid;
      const slot = chooseSlot(this.slots, { kind: track.kind, owner });
      if (!slot) continue;
      slot.owner = owner;
      slot.track = track;
      try {
        await this.#consume(slot, track);
      } catch (err) {
        this.#free(slot);
        // Gone while it was on its way: nothing is wrong with the track.
        if (transport.closed || track.producer.closed) continue;
        this.#unplayable.add(track);
        this.#options.logger.warn({ err, trackId: track.sid }, 'track cannot be shown');
      }
    }
  }

  #wanted(): SfuTrack[] {
    const { room, viewer, identity } = this.#options;
    if (this.#closed || viewer.closed || !viewer.permissions.canSubscribe) return [];
    return [...room.participants.values()]
      .filter((other) => other !== viewer && !other.permissions.hidden)
      .filter((other) => identity === undefined || other.identity === identity)
      .flatMap((other) => [...other.tracks.values()])
      .filter(({ producer }) => !producer.closed);
  }

  async #consume(slot: ViewerSlot, track: SfuTrack): Promise<void> {
    const { plan, room, router, transport, layer, logger } = this.#options;
    const codec = plan.codecs[track.kind].find((one) => this.#isCodecOf(one, track.producer));
    const rtpCapabilities = codec && consumeCapabilities(codec, slot.section, router.rtpCapabilities);
    if (!rtpCapabilities) {
      this.#unplayable.add(track);
      this.#free(slot);
      logger.info({ trackId: track.sid, codec: track.mimeType }, 'the viewer cannot play this codec');
      return;
    }
    const producerId = await this.#options.source(track.producer);
    const layers = track.spatialLayers;
    const consumer = await transport.consume({
      producerId,
      rtpCapabilities,
      mid: slot.section.section.mid,
      paused: true,
      ...(layer && layers > 1 ? { preferredLayers: { spatialLayer: layer(layers) } } : {}),
    });
    if (this.#closed || slot.track !== track) {
      consumer.close();
      return;
    }
    slot.consumer = consumer;
    consumer.observer.once('close', () => {
      if (slot.consumer === consumer) this.#free(slot);
    });
    logger.info({ trackId: track.sid, mid: slot.section.section.mid, roomId: room.sid }, 'track shown');
    if (this.#live) await this.#resume(consumer);
  }

  /** In the room's own numbers, whichever the viewer's are. */
  #isCodecOf({ capability }: MatchedCodec, producer: ms.Producer): boolean {
    const { preferredPayloadType } = capability;
    if (preferredPayloadType === undefined) return false;
    const codecs = [{ ...capability, preferredPayloadType }];
    return this.#options.room.router.canConsume({ producerId: producer.id, rtpCapabilities: { codecs } });
  }

  async #resume(consumer: ms.Consumer): Promise<void> {
    try {
      await consumer.resume();
      if (consumer.kind === 'video') await consumer.requestKeyFrame();
    } catch (err) {
      if (!consumer.closed) this.#options.logger.warn({ err }, 'consumer could not be resumed');
    }
  }

  #free(slot: ViewerSlot): void {
    const { consumer } = slot;
    slot.owner = undefined;
    slot.track = undefined;
    slot.consumer = undefined;
    consumer?.close();
  }
}
