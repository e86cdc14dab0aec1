/** Offers of real viewers: slots, payload types, and how streams are told apart. */
import { ortc } from 'mediasoup';
import { describe, expect, test } from 'vitest';
import { parseOffer } from '../../src/signaling/sdp/offer.ts';
import {
  answeredCodec,
  consumeCapabilities,
  planPlayback,
  routerCodecs,
} from '../../src/signaling/sdp/playback.ts';
import type { PlaybackPlan } from '../../src/signaling/sdp/playback.ts';
import { capabilities, offerOf } from '../support/offers.ts';

const plan = (sdp: string): PlaybackPlan => planPlayback(parseOffer(sdp), capabilities);
const CHROMIUM = offerOf('chromium-156-watch');

/** As the studio's page edits its offers. */
const withOurIds = CHROMIUM.replaceAll(/a=extmap:(?!4 |3 ).*\r\n/g, '')
  .replaceAll('a=extmap:4 ', 'a=extmap:1 ')
  .replaceAll('a=extmap:3 ', 'a=extmap:5 ');

/** With every section twice. */
function doubled(sdp: string): string {
  const [session = '', ...sections] = sdp.split(/(?=m=)/);
  const again = sections.map((section) => section.replace(/a=mid:(\S+)/, 'a=mid:$1$1'));
  const mids = [...sections, ...again].map((section) => /a=mid:(\S+)/.exec(section)![1]);
  return session.replace(/BUNDLE .*/, `BUNDLE ${mids.join(' ')}`) + sections.join('') + again.join('');
}

describe('how streams are told apart', () => {
  test.each([
    ['a browser with one section a kind', CHROMIUM, 'payload-type'],
    ['Firefox with one section a kind', offerOf('firefox-153-watch'), 'payload-type'],
    ['a browser with more', doubled(CHROMIUM), 'ssrc'],
    ["our page, whose ids are mediasoup's", withOurIds, 'mid'],
    ['our page with more sections', doubled(withOurIds), 'mid'],
    [
      'mids longer than mediasoup writes',
      withOurIds.replaceAll(/(a=mid:|BUNDLE )0/g, '$1much-too-long'),
      'payload-type',
    ],
  ])('%s', (_name, sdp, demux) => {
    expect(plan(sdp).demux).toBe(demux);
  });
});

describe('payload types', () => {
  test("Chromium's are the router's, also for RTX", () => {
    const { routerNumbers, codecs, slots } = plan(CHROMIUM);
    expect(routerNumbers).toBe(true);
    const vp8 = codecs.video.find(({ offered }) => offered.name === 'VP8')!;
    const [, slot] = slots;
    expect(
      answeredCodec(vp8, slot!, capabilities).map(({ mimeType, payloadType }) => [mimeType, payloadType]),
    ).toEqual([
      ['video/VP8', 96],
      ['video/rtx', 97],
    ]);
  });

  test.each([
    ['firefox-153-watch', ['opus 109', 'PCMU 0', 'PCMA 8', 'VP8 120', 'VP9 121', 'AV1 99']],
    [
      'safari-18-watch',
      ['opus 111', 'PCMU 0', 'PCMA 8', 'H264 96', 'H264 98', 'H264 102', 'VP8 106', 'VP9 108'],
    ],
    ['werift-0.25-watch', ['opus 96', 'VP8 97', 'H264 98']],
  ])('%s gets a router with its own', (name, expected) => {
    const viewer = plan(offerOf(name));
    expect(viewer.routerNumbers).toBe(false);
    const codecs = routerCodecs(viewer);
    const described = codecs.map(
      ({ mimeType, preferredPayloadType }) => `${mimeType.split('/')[1]} ${preferredPayloadType}`,
    );
    expect(described.sort()).toEqual([...expected].sort());
    const router = ortc.generateRouterRtpCapabilities(codecs);
    for (const codec of [...viewer.codecs.audio, ...viewer.codecs.video]) {
      const slot = viewer.slots.find(({ kind }) => kind === codec.capability.kind)!;
      const wanted = consumeCapabilities(codec, slot, router);
      expect(wanted?.codecs?.[0]?.preferredPayloadType).toBe(codec.offered.payloadType);
    }
  });

  test.each([
    ['free of conflict as they stand', [120, 121, 126], [120, 121, 126]],
    ['in another order: RTX of 96 would be 100', [96, 100, 98], [100, 96, 98]],
    ['neither can come first: the less preferred one goes', [100, 101], [100]],
    ['in a row of four: two can stay', [101, 103, 100, 102], [101, 103]],
  ])("a router's own RTX numbers take none the viewer needs: %s", (_name, offered, expected) => {
    const viewer = plan(offerOf('safari-18-watch'));
    const video = offered.map((payloadType, index) => {
      const codec = viewer.codecs.video[index]!;
      return { ...codec, offered: { ...codec.offered, payloadType } };
    });
    const codecs = routerCodecs({ ...viewer, codecs: { audio: viewer.codecs.audio, video } });
    expect(() => ortc.generateRouterRtpCapabilities(codecs)).not.toThrow();
    const numbers = codecs.filter(({ kind }) => kind === 'video').map((codec) => codec.preferredPayloadType);
    expect(numbers).toEqual(expected);
  });

  test('sections of one kind that number codecs differently: the later ones are rejected', () => {
    const sections = doubled(CHROMIUM).split(/(?=m=)/);
    const last = sections
      .at(-1)!
      .replaceAll(/\b96\b/g, '77')
      .replaceAll(/\b98\b/g, '96');
    const { slots, rejected } = plan([...sections.slice(0, -1), last].join(''));
    expect(slots).toHaveLength(3);
    expect(rejected.get(3)).toMatch(/differ from an earlier section/);
  });
});

describe('what is sent', () => {
  test('extensions only under ids that are the same on both sides, and no REMB', () => {
    expect(plan(CHROMIUM).slots.map(({ extensions }) => extensions)).toEqual([[], []]);
    const { slots, codecs } = plan(withOurIds);
    expect(slots[1]!.extensions.map(({ id }) => id)).toEqual([5, 1]);
    const feedback = (viewer: PlaybackPlan) =>
      answeredCodec(viewer.codecs.video[0]!, viewer.slots[1]!, capabilities)[0]!.rtcpFeedback!.map(
        ({ type }) => type,
      );
    expect(feedback(plan(withOurIds))).toContain('transport-cc');
    expect(feedback(plan(CHROMIUM)).filter((type) => /remb|transport/.test(type))).toEqual([]);
    expect(codecs.audio[0]!.offered.name).toBe('opus');
  });

  test('a publisher, or an offer without a codec in common, is refused with a reason', () => {
    expect(() => plan(offerOf('obs-30-send'))).toThrow(/must be recvonly/);
    const none = offerOf('werift-0.25-watch').replaceAll(/(OPUS|VP8|H264)\//g, 'X/');
    expect(() => plan(none)).toThrow(/none of its codecs is supported/);
  });

  test('at most 64 sections', () => {
    const [session = '', audio = ''] = CHROMIUM.split(/(?=m=)/);
    const sections = Array.from({ length: 70 }, (_, index) => audio.replace('a=mid:0', `a=mid:${index}`));
    const group = `BUNDLE ${sections.map((_, index) => index).join(' ')}`;
    const { slots, rejected } = plan(session.replace(/BUNDLE .*/, group) + sections.join(''));
    expect([slots.length, rejected.size]).toEqual([64, 6]);
  });
});
