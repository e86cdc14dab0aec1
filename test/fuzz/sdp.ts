/** Offers of WHIP and WHEP: answered, or refused with an SdpError. */
import assert from 'node:assert/strict';
import { ortc } from 'mediasoup';
import { parse } from 'sdp-transform';
import { writeAnswer } from '../../src/signaling/sdp/answer.ts';
import type { AnsweredSection, LocalTransport } from '../../src/signaling/sdp/answer.ts';
import { SdpError } from '../../src/signaling/sdp/errors.ts';
import { planIngest } from '../../src/signaling/sdp/ingest.ts';
import { parseOffer } from '../../src/signaling/sdp/offer.ts';
import type { Offer } from '../../src/signaling/sdp/offer.ts';
import { answeredCodec, planPlayback, routerCodecs } from '../../src/signaling/sdp/playback.ts';
import { parseRaw } from '../../src/signaling/sdp/raw.ts';
import { capabilities } from '../support/offers.ts';
import { fuzzer } from './fuzzer.ts';
import type { FuzzInput } from './fuzzer.ts';
import { mutations } from './sdp-mutations.ts';

interface OfferInput extends FuzzInput {
  sdp: string;
}

const TRANSPORT: LocalTransport = {
  iceParameters: { usernameFragment: 'ours', password: 'our-password-of-22-chars' },
  iceCandidates: [],
  fingerprints: [{ algorithm: 'sha-256', value: 'AA' }],
};

/** @returns undefined when it was refused as it should be */
export function refusable<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof SdpError)) throw error;
    assert.match(error.message, /^[\x20-\x7e]{10,4000}$/);
    return undefined;
  }
}

function checkAnswer(offer: Offer, sections: AnsweredSection[]): void {
  const answer = writeAnswer({ offer, transport: TRANSPORT, sections, sessionId: 1n, version: 1 });
  const { media } = parse(answer);
  assert.equal(media.length, offer.sections.length);
  assert.deepEqual(
    media.map(({ mid }) => String(mid)),
    offer.sections.map(({ mid }) => mid),
  );
  assert.match(answer, /^([a-z]=[^\r\n]*\r\n)+$/);
}

function publish(offer: Offer): boolean {
  const ingest = refusable(() => planIngest(offer, capabilities));
  if (!ingest) return false;
  const sections = ingest.tracks.map((track) => {
    const parameters = structuredClone(track.rtpParameters);
    ortc.validateAndNormalizeRtpParameters(parameters);
    ortc.getProducerRtpParametersMapping(parameters, capabilities);
    return {
      index: track.section.index,
      direction: 'recvonly' as const,
      codecs: track.answeredCodecs,
      extensions: track.rtpParameters.headerExtensions ?? [],
      rids: track.rids,
    };
  });
  checkAnswer(offer, sections);
  return true;
}

function watch(offer: Offer): boolean {
  const playback = refusable(() => planPlayback(offer, capabilities));
  if (!playback) return false;
  const router = playback.routerNumbers
    ? capabilities
    : ortc.generateRouterRtpCapabilities(routerCodecs(playback));
  const sections = playback.slots.map((slot) => ({
    index: slot.section.index,
    direction: 'sendonly' as const,
    codecs: playback.codecs[slot.kind].flatMap((codec) => answeredCodec(codec, slot, router)),
    extensions: slot.extensions,
    msid: { stream: 'stream', track: 'track' },
  }));
  checkAnswer(offer, sections);
  return true;
}

export const sdpFuzzer = fuzzer<OfferInput>({
  name: 'sdp',
  about: 'offers of WHIP and WHEP clients',
  count: 3000,
  start: () => ({
    make(_index, next) {
      const [{ description, sdp } = { description: '', sdp: '' }] = mutations(
        1,
        Math.floor(next() * 2 ** 32),
      );
      return { description, sdp, bytes: Buffer.from(sdp) };
    },
    run({ sdp }) {
      if (refusable(() => parseRaw(sdp)) === undefined) return { kind: 'no SDP', past: false };
      const offer = refusable(() => parseOffer(sdp));
      if (!offer) return { kind: 'no offer with a transport', past: true };
      const [published, watched] = [publish(offer), watch(offer)];
      const kind = published
        ? watched
          ? 'published and watched'
          : 'published'
        : watched
          ? 'watched'
          : 'refused';
      return { kind, past: true };
    },
  }),
});
