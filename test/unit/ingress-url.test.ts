import { describe, expect, test } from 'vitest';
import { planUrl } from '../../src/ingress/inputs/url/plan.ts';
import { brokeOff, needsDecodedAudio, reasonFrom } from '../../src/ingress/inputs/url/reasons.ts';
import { RtspAnswers } from '../../src/ingress/inputs/url/rtsp-answers.ts';
import { SourceDumpReader } from '../../src/ingress/inputs/url/source-dump.ts';
import { readHandshake, refuseHandshake } from '../../src/ingress/inputs/url/srt-handshake.ts';

describe('what a URL asks for', () => {
  test('its kind, port and options', () => {
    expect(planUrl('http://host/a.mp4#loop')).toMatchObject({ kind: 'web', loop: true });
    expect(planUrl('file:///a.mp4')).toMatchObject({ kind: 'file', loop: false });
    expect(planUrl('rtsp://host/x')).toMatchObject({ kind: 'rtsp', port: 554, tls: false, transport: 'tcp' });
    expect(planUrl('rtsps://host:8322/x#certificate=any')).toMatchObject({
      port: 8322,
      tls: true,
      certificate: 'any',
    });
    expect(planUrl('rtsp://host/x#transport=udp')).toMatchObject({ transport: 'udp' });
    expect(planUrl('rtsp://host/x#transport=udp').url.href).toBe('rtsp://host/x');
    expect(planUrl('srt://:9000?mode=listener')).toMatchObject({
      kind: 'srt',
      port: 9000,
      srt: { mode: 'listener' },
    });
    const { srt } = planUrl(
      'srt://h:1?passphrase=0123456789&streamid=%23%21%3A%3Ar%3Da&latency=200&pbkeylen=32',
    ) as ReturnType<typeof planUrl> & { kind: 'srt' };
    expect(srt).toEqual({
      mode: 'caller',
      passphrase: '0123456789',
      streamId: '#!::r=a',
      latencyMs: 200,
      keyLength: 32,
    });
  });

  test.each([
    ['http://host/#lop', /not an option/],
    ['rtsp://host:0/', /no port/],
    ['rtsps://host/x#transport=udp', /TCP only/],
    ['srt://host', /no port/],
    ['srt://host:1?mode=rendezvous', /rendezvous/],
    ['srt://host:1?passphrase=secret', /10 to 79/],
    ['srt://host:1?latency=1.5', /milliseconds/],
    ['srt://host:1?latency=20000', /milliseconds/],
    ['srt://host:1?pbkeylen=20', /pbkeylen/],
    ['ftp://host/', /cannot be pulled/],
    ['nothing', /cannot be parsed/],
  ])('%s is wrong', (url, message) => {
    expect(() => planUrl(url)).toThrow(message);
    expect(() => planUrl(url)).not.toThrow(/secret/);
  });
});

test("FFmpeg's description of a source is read up to its output", () => {
  const dump = new SourceDumpReader();
  for (const line of [
    "Input #0, mov,mp4, from 'x':",
    '  Stream #0:0[0x1](und): Video: mjpeg, yuvj420p, 90k tbr (attached pic)',
    '      displaymatrix: rotation of 180.00 degrees',
    '  Stream #0:1[0x1](und): Video: h264 (High), yuv420p, 320x240',
    '      displaymatrix: rotation of -90.00 degrees',
    '  Stream #0:2[0x2](und): Audio: aac (LC) (mp4a / 0x6134706D), 48000 Hz, mono, fltp, 69 kb/s (default)',
    'Output #0, matroska',
    '  Stream #0:1: Audio: pcm_s16le, 48000 Hz, mono, s16, 768 kb/s',
    '      displaymatrix: rotation of 180.00 degrees',
  ]) {
    dump.read(line);
  }
  expect({ known: dump.known, audio: dump.audio, rotation: dump.rotation }).toEqual({
    ...{ known: true, audio: { codec: 'aac', bitrate: 69_000 }, rotation: 90 },
  });
});

test.each([
  ['[rtsp @ 0x1] method DESCRIBE failed: 401 Unauthorized', /user name or password/, true],
  ['[rtsp @ 0x1] method DESCRIBE failed: 404 Not Found', /404/, true],
  ['[http @ 0x1] HTTP error 403 Forbidden', /403/, true],
  ['tcp://127.0.0.1:1: Connection refused', /refused/, true],
  [
    'SRT.cn: REJECT reported from HS processing: Incorrect passphrase - not processing further',
    /passphrase is wrong/,
    true,
  ],
  ['Output file #0 does not contain any stream', /no audio and no video/, false],
  ['x: Invalid data found when processing input', /no media/, false],
])('%s', (line, message, retry) => {
  const reason = reasonFrom(['something else', line]);
  expect(reason?.message).toMatch(message);
  expect(reason?.retry).toBe(retry);
});

test('what breaks off, and what Matroska cannot take', () => {
  expect(brokeOff(['[http @ 0x1] Stream ends prematurely at 10, should be 20'])).toBe(true);
  expect(brokeOff(['[http @ 0x1] Will reconnect at 10 in 0 second(s), error=Input/output error.'])).toBe(
    false,
  );
  expect(
    needsDecodedAudio(['[matroska @ 0x1] Error parsing AAC extradata, unable to determine samplerate.']),
  ).toBe(true);
  expect(reasonFrom(['frame=1'])).toBeUndefined();
});

describe("a camera's answers", () => {
  const all = (bytes: Buffer, size: number): string => {
    const answers = new RtspAnswers('192.168.1.5');
    const out: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) out.push(...answers.push(bytes.subarray(at, at + size)));
    return Buffer.concat(out).toString('latin1');
  };

  test('go through in pieces of any size, UDP media from no other address', () => {
    const media = Buffer.concat([Buffer.from([0x24, 0, 0, 12]), Buffer.from('RTSP/1.0 302')]).toString(
      'latin1',
    );
    const sdp = 'v=0\r\n\r\nRTSP/1.0 302 in a body\r\n\r\n';
    const sent = `RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: ${sdp.length}\r\n\r\n${sdp}${media}RTSP/1.0 200 OK\r\nTransport: RTP/AVP;unicast;source=10.0.0.1;server_port=1-2\r\n\r\n${media}`;
    const expected = sent.replace('source=10.0.0.1;server_port=1-2', 'server_port=1-2;source=192.168.1.5');
    for (const size of [1, 2, 3, 7, 64, 10_000])
      expect(all(Buffer.from(sent, 'latin1'), size)).toBe(expected);
  });

  test('that redirect, or never end, do not', () => {
    const redirect = 'RTSP/1.0 301 Moved\r\nLocation: rtsp://10.0.0.1/\r\n\r\n';
    expect(() => all(Buffer.from(redirect), 5)).toThrow(/redirects \(301\)/);
    expect(() => all(Buffer.alloc(100_000, 'a'), 1000)).toThrow(/endless header/);
    expect(() => all(Buffer.from('RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n'), 100)).toThrow(
      /99999999/,
    );
  });
});

describe('SRT handshakes', () => {
  /** As draft-sharabayko-srt lays it out: header, fixed part, extensions. */
  const conclusion = (streamId: string): Buffer => {
    const text = Buffer.alloc(Math.ceil(streamId.length / 4) * 4);
    text.write(streamId);
    const packet = Buffer.alloc(64 + 4 + 12 + 4 + text.length);
    packet.writeUInt16BE(0x8000, 0);
    packet.writeUInt32BE(5, 16);
    packet.writeUInt32BE(0xffffffff, 36);
    packet.writeUInt32BE(4711, 40);
    packet.writeUInt32BE(0x00010003, 64);
    packet.writeUInt16BE(5, 80);
    packet.writeUInt16BE(text.length / 4, 82);
    text.swap32().copy(packet, 84);
    return packet;
  };

  test('carry a streamid, whatever its length', () => {
    for (const streamId of ['a', 'abcd', '#!::r=cam/1,m=publish', 'x'.repeat(512)]) {
      expect(readHandshake(conclusion(streamId))).toEqual({
        type: 'conclusion',
        socketId: 4711,
        streamId,
        refusal: 0,
      });
    }
  });

  test('that are cut short, and other packets, are no trouble', () => {
    const packet = conclusion('camera');
    for (let length = 0; length < packet.length; length += 1) {
      const read = readHandshake(packet.subarray(0, length));
      expect(length < 64 ? read : read?.streamId).toBeUndefined();
    }
    expect(readHandshake(Buffer.alloc(200))).toBeUndefined();
  });

  test('are refused to the socket that asked, with the reason', () => {
    const answer = refuseHandshake(conclusion('camera'), 1403);
    expect(answer.readUInt32BE(12)).toBe(4711);
    expect(readHandshake(answer)).toMatchObject({ type: 'refusal', refusal: 1403 });
  });
});
