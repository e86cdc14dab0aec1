/** Damaged offers are answered, or refused with an SdpError; nothing else ever comes out. */
import { ortc } from 'mediasoup';
import { parse } from 'sdp-transform';
import { expect, test } from 'vitest';
import { writeAnswer } from '../../src/signaling/sdp/answer.ts';
import type { AnsweredSection, LocalTransport } from '../../src/signaling/sdp/answer.ts';
import { SdpError } from '../../src/signaling/sdp/errors.ts';
import { parseFragment } from '../../src/signaling/sdp/fragment.ts';
import { planIngest } from '../../src/signaling/sdp/ingest.ts';
import { parseOffer } from '../../src/signaling/sdp/offer.ts';
import type { Offer } from '../../src/signaling/sdp/offer.ts';
import { answeredCodec, planPlayback, routerCodecs } from '../../src/signaling/sdp/playback.ts';
import { parseRaw } from '../../src/signaling/sdp/raw.ts';
import { mutations } from '../fuzz/sdp-mutations.ts';
import { capabilities, offers } from '../support/offers.ts';

const COUNT = 6000;
const SEED = 9725;

const TRANSPORT: LocalTransport = {
  iceParameters: { usernameFragment: 'ours', password: 'our-password-of-22-chars' },
  iceCandidates: [],
  fingerprints: [{ algorithm: 'sha-256', value: 'AA' }],
};

/** @returns undefined when it was refused as it should be */
function refusable<T>(description: string, run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof SdpError)) throw new Error(`${description}: ${String(error)}`, { cause: error });
    expect(error.message, description).toMatch(/^[\x20-\x7e]{10,4000}$/);
    return undefined;
  }
}

function checkAnswer(description: string, offer: Offer, sections: AnsweredSection[]): void {
  const answer = writeAnswer({ offer, transport: TRANSPORT, sections, sessionId: 1n, version: 1 });
  const { media } = parse(answer);
  expect(media.length, description).toBe(offer.sections.length);
  expect(
    media.map(({ mid }) => String(mid)),
    description,
  ).toEqual(offer.sections.map(({ mid }) => mid));
  expect(answer, description).toMatch(/^([a-z]=[^\r\n]*\r\n)+$/);
}

test(`${COUNT} damaged offers`, () => {
  const passed = { raw: 0, offer: 0, ingest: 0, playback: 0 };
  for (const { description, sdp } of mutations(COUNT, SEED)) {
    if (refusable(description, () => parseRaw(sdp)) === undefined) continue;
    passed.raw += 1;
    const offer = refusable(description, () => parseOffer(sdp));
    if (!offer) continue;
    passed.offer += 1;

    const ingest = refusable(description, () => planIngest(offer, capabilities));
    if (ingest) {
      passed.ingest += 1;
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
      checkAnswer(description, offer, sections);
    }

    const playback = refusable(description, () => planPlayback(offer, capabilities));
    if (playback) {
      passed.playback += 1;
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
      checkAnswer(description, offer, sections);
    }
  }
  const share = (count: number) => `${((100 * count) / COUNT).toFixed(1)} %`;
  process.stdout.write(
    `damaged offers: ${COUNT}, ${share(passed.raw)} past the first parsing stage, ${share(passed.offer)} with a ` +
      `transport, ${share(passed.ingest)} published, ${share(passed.playback)} watched\n`,
  );
  expect(passed.raw / COUNT).toBeGreaterThan(0.3);
  expect(passed.ingest).toBeGreaterThan(0);
  expect(passed.playback).toBeGreaterThan(0);
  expect(passed.offer, 'some are refused').toBeLessThan(COUNT);
});

test('damaged fragments', () => {
  const fragments = [...offers.values()].map((offer) =>
    (offer.match(/^(a=ice-ufrag|a=ice-pwd|m=|a=mid).*$/gm) ?? []).join('\r\n'),
  );
  let passed = 0;
  for (const { description, sdp } of mutations(1000, SEED + 1)) {
    const lines = sdp.split(/\r?\n/).filter((line) => /ice|^m=|mid|candidate/.test(line));
    const fragment = `${fragments[passed % fragments.length] ?? ''}\r\n${lines.join('\r\n')}`;
    if (refusable(description, () => parseFragment(fragment))) passed += 1;
  }
  expect(passed).toBeGreaterThan(100);
});
