/** Offers of real publishers, as mediasoup gets them and as they are answered. */
import { ortc } from 'mediasoup';
import type { types as ms } from 'mediasoup';
import { parse } from 'sdp-transform';
import { describe, expect, test } from 'vitest';
import { writeAnswer } from '../../src/signaling/sdp/answer.ts';
import { SdpError } from '../../src/signaling/sdp/errors.ts';
import { planIngest } from '../../src/signaling/sdp/ingest.ts';
import type { IngestPlan } from '../../src/signaling/sdp/ingest.ts';
import { parseOffer } from '../../src/signaling/sdp/offer.ts';
import { capabilities, offerOf } from '../support/offers.ts';

const plan = (sdp: string): IngestPlan => planIngest(parseOffer(sdp), capabilities);

const TRANSPORT = {
  iceParameters: { usernameFragment: 'ours', password: 'our-password-of-22-chars' },
  iceCandidates: [
    {
      foundation: 'u',
      priority: 1,
      ip: '192.0.2.1',
      address: '192.0.2.1',
      protocol: 'udp',
      port: 7882,
      type: 'host',
    },
    {
      foundation: 't',
      priority: 2,
      ip: '192.0.2.1',
      address: '192.0.2.1',
      protocol: 'tcp',
      port: 7882,
      type: 'host',
      tcpType: 'passive',
    },
  ] satisfies ms.IceCandidate[],
  fingerprints: [{ algorithm: 'sha-256', value: 'AA:BB' }] satisfies ms.DtlsFingerprint[],
};

function answer(sdp: string): string {
  const offer = parseOffer(sdp);
  return writeAnswer({
    offer,
    transport: TRANSPORT,
    sections: planIngest(offer, capabilities).tracks.map((track) => ({
      index: track.section.index,
      direction: 'recvonly',
      codecs: track.answeredCodecs,
      extensions: track.rtpParameters.headerExtensions ?? [],
      rids: track.rids,
    })),
    sessionId: 1n,
    version: 1,
  });
}

const PUBLISHERS: [name: string, codecs: string[], encodings: ms.RtpEncodingParameters[]][] = [
  [
    'chromium-156-send',
    ['audio/opus 111', 'video/VP8 96 video/rtx 97'],
    [{ ssrc: 4286546710, rtx: { ssrc: 2546655862 } }],
  ],
  [
    'chromium-156-simulcast',
    ['audio/opus 111', 'video/VP8 96 video/rtx 97'],
    ['q', 'h', 'f'].map((rid) => ({ rid, scalabilityMode: 'L1T3' })),
  ],
  [
    'firefox-153-send',
    ['audio/opus 109', 'video/VP8 120 video/rtx 124'],
    [{ ssrc: 1012446422, rtx: { ssrc: 993830116 } }],
  ],
  [
    'firefox-153-simulcast',
    ['audio/opus 109', 'video/VP8 120 video/rtx 124'],
    ['q', 'h', 'f'].map((rid) => ({ rid, scalabilityMode: 'L1T3' })),
  ],
  [
    'safari-18-send',
    ['audio/opus 111', 'video/H264 96 video/rtx 97'],
    [{ ssrc: 2231627014, rtx: { ssrc: 632943048 } }],
  ],
  ['obs-30-send', ['audio/opus 111', 'video/H264 96'], [{ ssrc: 3382040869 }]],
  ['gstreamer-1.22-send', ['audio/opus 97', 'video/H264 96'], [{ ssrc: 3018574607 }]],
  [
    'plan-b-simulcast',
    ['audio/opus 111', 'video/VP8 96 video/rtx 97'],
    [1001, 1003, 1005].map((ssrc) => ({ ssrc, rtx: { ssrc: ssrc + 1 }, scalabilityMode: 'L1T3' })),
  ],
];

describe.each(PUBLISHERS)('%s', (name, codecs, encodings) => {
  const { tracks, rejected } = plan(offerOf(name));

  test('codecs, streams and nothing rejected', () => {
    const described = tracks.map(({ rtpParameters }) =>
      rtpParameters.codecs.map(({ mimeType, payloadType }) => `${mimeType} ${payloadType}`).join(' '),
    );
    expect(described.sort()).toEqual(codecs);
    expect(tracks.find(({ kind }) => kind === 'video')!.rtpParameters.encodings).toEqual(encodings);
    expect([...rejected]).toEqual([]);
  });

  test("mediasoup's own rules take the parameters", () => {
    for (const { rtpParameters } of tracks) {
      const copy = structuredClone(rtpParameters);
      ortc.validateAndNormalizeRtpParameters(copy);
      const mapping = ortc.getProducerRtpParametersMapping(copy, capabilities);
      expect(mapping.codecs.map(({ payloadType }) => payloadType)).toEqual(
        rtpParameters.codecs.map(({ payloadType }) => payloadType),
      );
    }
  });

  test('the answer mirrors the offer: order, mids, payload types, extension ids', () => {
    const offered = parse(offerOf(name));
    const text = answer(offerOf(name));
    const answered = parse(text);
    expect(answered.media.map(({ mid, type }) => [mid, type])).toEqual(
      offered.media.map(({ mid, type }) => [mid, type]),
    );
    expect(answered.icelite).toBe('ice-lite');
    expect(answered.groups).toEqual([
      {
        type: 'BUNDLE',
        mids: answered.media.length > 1 ? answered.media.map(({ mid }) => mid).join(' ') : 0,
      },
    ]);
    answered.media.forEach((section, index) => {
      const original = offered.media[index]!;
      expect([section.direction, section.setup, section.rtcpMux]).toEqual([
        'recvonly',
        'passive',
        'rtcp-mux',
      ]);
      expect(section.candidates?.map(({ transport, tcptype }) => [transport, tcptype])).toEqual([
        ['udp', undefined],
        ['tcp', 'passive'],
      ]);
      for (const { value, uri } of section.ext ?? []) {
        expect(original.ext).toContainEqual(expect.objectContaining({ value, uri }));
      }
      for (const { payload, codec } of section.rtp) {
        expect(original.rtp.find((each) => each.payload === payload)?.codec.toLowerCase()).toBe(
          codec.toLowerCase(),
        );
      }
    });
    expect(text).toMatch(/\r\n$/);
    expect(text.split('\r\n').filter((line) => /[\r\n]/.test(line))).toEqual([]);
  });
});

describe('answers', () => {
  test('simulcast is taken in the order it was offered', () => {
    const reversed = offerOf('chromium-156-simulcast').replace('send q;h;f', 'send f;h;q');
    expect(answer(reversed)).toContain('a=simulcast:recv f;h;q');
    expect(plan(reversed).tracks[1]!.rtpParameters.encodings?.map(({ rid }) => rid)).toEqual(['q', 'h', 'f']);
    expect(answer(reversed)).toContain('a=rid:f recv');
  });

  test('layers with names that say nothing: by pixels, else as they stand', () => {
    const named = offerOf('chromium-156-simulcast')
      .replaceAll('a=rid:q send', 'a=rid:1 send')
      .replaceAll('a=rid:h send', 'a=rid:2 send')
      .replaceAll('a=rid:f send', 'a=rid:3 send')
      .replace('send q;h;f', 'send 1;2;3');
    const rids = (sdp: string) => plan(sdp).tracks[1]!.rtpParameters.encodings?.map(({ rid }) => rid);
    expect(rids(named)).toEqual(['1', '2', '3']);
    const restricted = named
      .replace('a=rid:1 send', 'a=rid:1 send max-width=1280')
      .replace('a=rid:2 send', 'a=rid:2 send max-width=640')
      .replace('a=rid:3 send', 'a=rid:3 send max-width=320');
    expect(rids(restricted)).toEqual(['3', '2', '1']);
  });

  test('bandwidth is estimated one way: transport-wide if both sides can, else REMB, else not', () => {
    const feedback = (sdp: string) =>
      plan(sdp).tracks[1]!.rtpParameters.codecs[0]!.rtcpFeedback!.map(({ type }) => type);
    const chromium = offerOf('chromium-156-send');
    expect(feedback(chromium)).toContain('transport-cc');
    expect(feedback(chromium)).not.toContain('goog-remb');
    const noTransportCc = chromium.replaceAll(/a=extmap:3 .*\r\n/g, '');
    expect(feedback(noTransportCc)).toContain('goog-remb');
    expect(feedback(noTransportCc)).not.toContain('transport-cc');
    const neither = noTransportCc.replaceAll(/a=extmap:2 .*\r\n/g, '');
    expect(feedback(neither).filter((type) => /remb|transport/.test(type))).toEqual([]);
  });

  test('orientation and playout delay are not taken: pictures come upright', () => {
    expect(answer(offerOf('chromium-156-send'))).not.toMatch(/video-orientation|playout-delay/);
  });

  test('stereo where the publisher offers it', () => {
    expect(answer(offerOf('obs-30-send'))).toMatch(/a=fmtp:111 .*stereo=1/);
    expect(answer(offerOf('chromium-156-send'))).not.toContain('stereo=1');
  });

  test('sections that cannot be taken keep their place with port 0', () => {
    const chromium = offerOf('chromium-156-send');
    const data =
      'm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n';
    const text = answer(chromium.replace('BUNDLE 0 1', 'BUNDLE 0 1 2') + data);
    expect(text).toContain('m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n');
    expect(text).toContain('a=group:BUNDLE 0 1\r\n');
  });

  test('a codec nobody has is rejected, and the reason names those there are', () => {
    const { tracks, rejected } = plan(offerOf('obs-30-send').replace('H264/90000', 'H265/90000'));
    expect(tracks.map(({ kind }) => kind)).toEqual(['audio']);
    expect(rejected.get(1)).toBe('none of its codecs is supported: AV1, H264, VP8, VP9 are');
  });

  test('a viewer is told that it came to the wrong place', () => {
    const error = caught(offerOf('obs-30-send').replaceAll('a=sendonly', 'a=recvonly'));
    expect(error.problem).toBe('media');
    expect(error.message).toMatch(/section 1: it is recvonly: a publisher's section must be sendonly/);
  });

  test('at most 16 tracks', () => {
    const [session = '', audio = ''] = offerOf('chromium-156-send').split(/(?=m=audio)|(?=m=video)/);
    const sections = Array.from({ length: 17 }, (_, index) =>
      audio.replace('a=mid:0', `a=mid:${index}`).replaceAll(/a=ssrc:\d+/g, `a=ssrc:${index + 1}`),
    );
    const group = `BUNDLE ${sections.map((_, index) => index).join(' ')}`;
    const { tracks, rejected } = plan(session.replace('BUNDLE 0 1', group) + sections.join(''));
    expect(tracks).toHaveLength(16);
    expect(rejected.get(16)).toMatch(/at most 16/);
  });
});

describe('streams that could not be told apart', () => {
  test.each<[string, string, RegExp]>([
    [
      'neither SSRC nor MID',
      offerOf('obs-30-send').replaceAll(/a=ssrc:.*\r\n/g, ''),
      /neither "a=ssrc" lines nor "a=extmap"/,
    ],
    [
      'rids without their extension',
      offerOf('chromium-156-simulcast').replaceAll(/a=extmap:\d+ \S+rtp-stream-id\r\n/g, ''),
      /rtp-stream-id/,
    ],
    [
      'one SSRC in two sections',
      offerOf('obs-30-send').replaceAll('3382040869', '3382040868'),
      /SSRC 3382040868 is in the sections with mid 0 and 1/,
    ],
    [
      'too many layers',
      offerOf('plan-b-simulcast').replace('SIM 1001 1003 1005', 'SIM 1001 1003 1005 1007 1009'),
      /at most 4/,
    ],
    ['one layer twice', offerOf('chromium-156-simulcast').replace('send q;h;f', 'send q;h;q'), /twice/],
    ['one SSRC twice', offerOf('plan-b-simulcast').replace('SIM 1001 1003', 'SIM 1001 1001'), /twice/],
  ])('%s', (_name, sdp, message) => {
    const error = caught(sdp);
    expect(error.problem).toBe('rtp');
    expect(error.message).toMatch(message);
  });
});

describe('a screen', () => {
  const source = (sdp: string) => plan(sdp).tracks.map(({ screen }) => screen);
  test('is one by a=content:slides, or by its name', () => {
    expect(source(offerOf('obs-30-send'))).toEqual([false, false]);
    expect(source(offerOf('obs-30-send').replace('a=mid:1', 'a=mid:1\r\na=content:slides'))).toEqual([
      false,
      true,
    ]);
    expect(source(offerOf('obs-30-send').replaceAll('-video', '-screen'))).toEqual([false, true]);
  });
});

function caught(sdp: string): SdpError {
  try {
    plan(sdp);
  } catch (error) {
    expect(error).toBeInstanceOf(SdpError);
    return error as SdpError;
  }
  throw new Error('nothing was thrown');
}
