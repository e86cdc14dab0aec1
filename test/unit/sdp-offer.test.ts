/** What is read from offers, and what is said about bad ones. */
import { describe, expect, test } from 'vitest';
import { SdpError } from '../../src/signaling/sdp/errors.ts';
import { parseFragment } from '../../src/signaling/sdp/fragment.ts';
import { planIngest } from '../../src/signaling/sdp/ingest.ts';
import { parseOffer } from '../../src/signaling/sdp/offer.ts';
import { capabilities, offerOf, offers } from '../support/offers.ts';

const CHROMIUM = offerOf('chromium-156-send');
const SIMULCAST = offerOf('chromium-156-simulcast');

describe('the transport', () => {
  test.each([...offers.keys()])('%s', (name) => {
    const { transport, bundled, sections } = parseOffer(offerOf(name));
    expect(transport.usernameFragment.length).toBeGreaterThanOrEqual(4);
    expect(transport.dtlsParameters).toEqual({
      role: 'client',
      fingerprints: [
        { algorithm: 'sha-256', value: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/) as string },
      ],
    });
    expect(transport.setup).toBe('passive');
    expect(bundled).toBe(true);
    expect(sections.filter(({ obstacle }) => obstacle !== undefined)).toEqual([]);
  });

  test('OBS says it once for the session', () => {
    expect(parseOffer(offerOf('obs-30-send')).transport.usernameFragment).toBe('riAt');
  });

  test('of a peer that waits for our handshake: we begin', () => {
    const { transport } = parseOffer(CHROMIUM.replaceAll('a=setup:actpass', 'a=setup:passive'));
    expect([transport.setup, transport.dtlsParameters.role]).toEqual(['active', 'server']);
  });

  test('several fingerprints are all kept, hashes mediasoup does not know are not', () => {
    const line = /a=fingerprint:sha-256 \S+/.exec(CHROMIUM)![0];
    const sha1 = `a=fingerprint:SHA-1 ${Array<string>(20).fill('ab').join(':')}`;
    const more = CHROMIUM.replaceAll(line, `${line}\r\n${sha1}\r\na=fingerprint:md5 aa:bb`);
    expect(parseOffer(more).transport.dtlsParameters.fingerprints.map(({ algorithm }) => algorithm)).toEqual([
      'sha-256',
      'sha-1',
    ]);
  });
});

describe('sections', () => {
  test('mids, kinds and numbers that look like numbers are text', () => {
    const { sections } = parseOffer(CHROMIUM);
    expect(sections.map(({ mid, kind, direction }) => [mid, kind, direction])).toEqual([
      ['0', 'audio', 'sendonly'],
      ['1', 'video', 'sendonly'],
    ]);
  });

  test('static payload types need no rtpmap', () => {
    const bare = CHROMIUM.replace(/a=rtpmap:0 PCMU\/8000\r\n/, '');
    const codecs = parseOffer(bare).sections[0]!.codecs;
    expect(codecs.find(({ payloadType }) => payloadType === 0)).toMatchObject({
      name: 'PCMU',
      clockRate: 8000,
    });
  });

  test('a profile-level-id of digits alone stays hexadecimal', () => {
    const digits = offerOf('obs-30-send').replace('profile-level-id=42e01f', 'profile-level-id=420010');
    const [, video] = parseOffer(digits).sections;
    expect(video!.codecs[0]!.parameters['profile-level-id']).toBe('420010');
  });

  test('Firefox names streams with braces, OBS with letters', () => {
    const stream = (name: string) => parseOffer(offerOf(name)).sections[1]!.msid?.stream;
    expect(stream('firefox-153-send')).toMatch(/^\{[0-9a-f-]{36}\}$/);
    expect(stream('obs-30-send')).toBe('fAB8s1VfJrRwiz2r');
  });

  test('simulcast: the first of alternatives, paused layers too, restrictions in pixels', () => {
    const edited = SIMULCAST.replace(
      'a=rid:q send',
      'a=rid:q send max-width=320;max-height=180\r\na=rid:x send',
    ).replace('a=simulcast:send q;h;f', 'a=simulcast:send q,x;~h;f');
    expect(parseOffer(edited).sections[1]!.sendRids).toEqual([
      { id: 'q', maxWidth: 320, maxHeight: 180 },
      { id: 'h' },
      { id: 'f' },
    ]);
  });

  test.each<[string, (sdp: string) => string, RegExp]>([
    ['data channels', (sdp) => sdp.replace('m=audio', 'm=application'), /only audio and video/],
    ['RTCP on a port of its own', (sdp) => sdp.replace('a=rtcp-mux\r\n', ''), /rtcp-mux/],
    ['a transport of its own', (sdp) => sdp.replace('BUNDLE 0 1', 'BUNDLE 1'), /BUNDLE/],
    ['port 0', (sdp) => sdp.replace('m=audio 9', 'm=audio 0').replace('BUNDLE 0 1', 'BUNDLE 1'), /port 0/],
    ['no encryption', (sdp) => sdp.replace('UDP/TLS/RTP/SAVPF', 'RTP/AVP'), /UDP\/TLS\/RTP\/SAVPF/],
  ])('an obstacle: %s', (_name, edit, reason) => {
    const { sections } = parseOffer(edit(CHROMIUM));
    expect(sections[0]!.obstacle).toMatch(reason);
    expect(sections[1]!.obstacle).toBeUndefined();
  });
});

describe('bad offers say what is wrong and what would be right', () => {
  test.each<[string, string, SdpError['problem'], RegExp]>([
    ['not SDP', 'hello', 'syntax', /must begin with the line "v=0"/],
    ['another version', CHROMIUM.replace('v=0', 'v=1'), 'syntax', /"v=0"/],
    ['nothing offered', CHROMIUM.slice(0, CHROMIUM.indexOf('m=')), 'media', /no "m=" line/],
    ['too long', `${CHROMIUM}${'a=x\r\n'.repeat(60_000)}`, 'syntax', /at most 262144 bytes/],
    [
      'too many sections',
      CHROMIUM + 'm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n'.repeat(127),
      'syntax',
      /at most 128/,
    ],
    ['a broken m-line', CHROMIUM.replace('m=audio 9', 'm=audio x'), 'syntax', /"m=" line.*section 1/],
    ['a port out of range', CHROMIUM.replace('m=audio 9', 'm=audio 70000'), 'syntax', /0 to 65535/],
    ['a broken rtpmap', CHROMIUM.replace('a=rtpmap:96 ', 'a=rtpmap:300 '), 'syntax', /"a=rtpmap".*section 2/],
    ['an SSRC out of range', CHROMIUM.replace(/a=ssrc:\d+/, 'a=ssrc:99999999999'), 'syntax', /4294967295/],
    [
      'a section without mid',
      CHROMIUM.replace('a=mid:1\r\n', ''),
      'bundle',
      /section 2 .*no "a=mid"|names "1"/,
    ],
    [
      'one mid twice',
      CHROMIUM.replace('a=mid:1', 'a=mid:0').replace('BUNDLE 0 1', 'BUNDLE 0'),
      'bundle',
      /unique/,
    ],
    ['a group of strangers', CHROMIUM.replace('BUNDLE 0 1', 'BUNDLE 0 1 2'), 'bundle', /names "2"/],
    ['no ICE user name', CHROMIUM.replaceAll(/a=ice-ufrag.*\r\n/g, ''), 'ice', /a=ice-ufrag/],
    ['a short ICE password', CHROMIUM.replaceAll(/a=ice-pwd:.*/g, 'a=ice-pwd:short'), 'ice', /22 to 256/],
    ['ICE-lite', CHROMIUM.replace('s=-', 's=-\r\na=ice-lite'), 'ice', /full ICE/],
    ['no setup', CHROMIUM.replaceAll(/a=setup.*\r\n/g, ''), 'dtls', /a=setup:actpass/],
    ['held', CHROMIUM.replaceAll('setup:actpass', 'setup:holdconn'), 'dtls', /use actpass/],
    ['no fingerprint', CHROMIUM.replaceAll(/a=fingerprint.*\r\n/g, ''), 'dtls', /DTLS-SRTP is required/],
    [
      'a short fingerprint',
      CHROMIUM.replaceAll(/(a=fingerprint:sha-256 ..:..):\S+/g, '$1'),
      'dtls',
      /32 bytes/,
    ],
    ['an unknown hash', CHROMIUM.replaceAll('sha-256', 'md5'), 'dtls', /sha-256/],
    ['a rid nobody declared', SIMULCAST.replace('a=rid:h send\r\n', ''), 'rtp', /"h".*a=rid:h send/],
    ['an SSRC group of words', CHROMIUM.replace(/FID \d+/, 'FID one'), 'rtp', /"one"/],
    ['an extension with id 0', CHROMIUM.replace('a=extmap:1 ', 'a=extmap:0 '), 'rtp', /1 to 255/],
  ])('%s', (_name, sdp, problem, message) => {
    const error = caught(() => planIngest(parseOffer(sdp), capabilities));
    expect(error.message).toMatch(message);
    expect(error.problem).toBe(problem);
  });

  test('a stranger cannot put lines or endless text into a message', () => {
    const error = caught(() => parseOffer(CHROMIUM.replace('BUNDLE 0 1', `BUNDLE ${'\u0007x'.repeat(500)}`)));
    expect(error.message.length).toBeLessThan(200);
    expect(error.message).toMatch(/^[\x20-\x7e]+$/);
  });
});

describe('fragments', () => {
  test('of trickling, of a restart, and the end', () => {
    const candidate = 'a=candidate:1 1 udp 2130706431 192.0.2.1 9 typ host generation 0\r\n';
    expect(
      parseFragment(`m=audio 9 X 0\r\na=mid:0\r\n${candidate}${candidate}a=end-of-candidates\r\n`),
    ).toEqual({
      candidates: 2,
      endOfCandidates: true,
    });
    const credentials = 'a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n';
    expect(parseFragment(credentials + credentials)).toEqual({
      usernameFragment: 'abcd',
      password: '0123456789012345678901',
      candidates: 0,
      endOfCandidates: false,
    });
  });

  test.each<[string, string, SdpError['problem'], RegExp]>([
    ['half of the credentials', 'a=ice-ufrag:abcd', 'ice', /both/],
    ['two users', 'a=ice-ufrag:abcd\r\na=ice-ufrag:efgh', 'ice', /one transport/],
    ['a short password', 'a=ice-ufrag:abcd\r\na=ice-pwd:short', 'ice', /22 to 256/],
    ['no lines', 'hello', 'syntax', /"<letter>=<value>"/],
    ['a broken candidate', 'a=candidate:1 udp', 'syntax', /typ <type>/],
    ['endless', 'a=x\r\n'.repeat(20_000), 'syntax', /at most 65536/],
  ])('bad ones: %s', (_name, text, problem, message) => {
    const error = caught(() => parseFragment(text));
    expect(error.message).toMatch(message);
    expect(error.problem).toBe(problem);
  });
});

function caught(run: () => unknown): SdpError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(SdpError);
    return error as SdpError;
  }
  throw new Error('nothing was thrown');
}
