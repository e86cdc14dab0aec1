/** Watches a room over WHEP. */
import { HttpPeer } from './http-peer.ts';
import type { HttpPeerEvents, HttpPeerOptions } from './http-peer.ts';

export interface WhepOptions extends HttpPeerOptions {
  /** Places for tracks of each kind; those that are free are filled when somebody begins to publish. Default 1. */
  slots?: number;
  /** Watch only this participant. */
  participant?: string;
  /** Simulcast layer, default the highest. */
  layer?: 'low' | 'medium' | 'high';
}

export interface WhepEvents extends HttpPeerEvents {
  /** A pair of places, in order. Its tracks come and go without further events. */
  stream(stream: MediaStream, index: number): void;
}

/**
 * Header extensions under the ids mediasoup writes. It cannot be told others, and an answer must not change
 * them, so an offer with these gets the MID, which tells streams of many people apart, also later ones, and
 * bandwidth estimation. Without, the server falls back to what the offer allows.
 */
const EXTENSION_IDS = new Map([
  ['urn:ietf:params:rtp-hdrext:sdes:mid', 1],
  ['http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time', 4],
  ['http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01', 5],
]);

export class WhepClient extends HttpPeer {
  readonly #slots: number;
  readonly #events: Partial<WhepEvents>;

  constructor(options: WhepOptions, events: Partial<WhepEvents> = {}) {
    super({ ...options, url: urlOf(options) }, events);
    this.#slots = options.slots ?? 1;
    this.#events = events;
  }

  protected override prepare(): void {
    for (let index = 0; index < this.#slots; index += 1) {
      const transceivers = ['audio', 'video'].map((kind) =>
        this.connection.addTransceiver(kind, { direction: 'recvonly' }),
      );
      this.#events.stream?.(new MediaStream(transceivers.map(({ receiver }) => receiver.track)), index);
    }
  }

  protected override editOffer(sdp: string): string {
    const lines = sdp.split('\r\n').flatMap((line) => {
      const [, uri = ''] = /^a=extmap:\d+(?:\/\w+)? (\S+)/.exec(line) ?? [];
      if (uri === '') return [line];
      const id = EXTENSION_IDS.get(uri);
      return id === undefined ? [] : [`a=extmap:${id} ${uri}`];
    });
    return lines.join('\r\n');
  }
}

function urlOf({ url, participant, layer }: WhepOptions): string {
  const whep = new URL(url, location.href);
  if (participant !== undefined) whep.searchParams.set('participant', participant);
  if (layer !== undefined) whep.searchParams.set('layer', layer);
  return whep.href;
}
