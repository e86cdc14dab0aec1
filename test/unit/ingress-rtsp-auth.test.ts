/** Passwords of cameras: put into what FFmpeg asks, which knows none. */
import { describe, expect, it, test } from 'vitest';
import { HttpAuth } from '../../src/ingress/inputs/url/http-auth.ts';
import { RtspRequests } from '../../src/ingress/inputs/url/rtsp-requests.ts';

describe('challenges', () => {
  const credentials = { username: 'Mufasa', password: 'Circle of Life' };
  const [realm, nonce] = ['http-auth@example.org', '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v'];
  const cnonce = 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ';
  const digest = (more: string) => `Digest realm="${realm}", qop="auth, auth-int", nonce="${nonce}", ${more}`;

  // RFC 7616, 3.9.1.
  it.each([
    ['algorithm=MD5', '8ca523f5e9506fed4657c9700eebdbec'],
    ['algorithm=SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1'],
  ])('of Digest with %s', (more, response) => {
    const auth = new HttpAuth(credentials, () => cnonce);
    expect(auth.authorization('GET', '/dir/index.html')).toBeUndefined();
    expect(auth.challenged([digest(`${more}, opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`)])).toBe(
      true,
    );
    const header = auth.authorization('GET', '/dir/index.html');
    expect(header).toContain(`response="${response}"`);
    expect(header).toContain('opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"');
    expect(header).toContain('qop=auth, nc=00000001');
    expect(auth.authorization('GET', '/dir/index.html')).toContain('nc=00000002');
  });

  it('the strongest is answered, Basic only when nothing else is offered', () => {
    const auth = new HttpAuth({ username: 'Aladdin', password: 'open sesame' });
    const answer = (...headers: string[]) =>
      auth.challenged(headers) ? auth.authorization('DESCRIBE', 'rtsp://h/') : undefined;
    expect(answer('Basic realm="x"', 'Digest realm="x", nonce="n"')).toMatch(/^Digest /);
    expect(answer('Digest realm="x", nonce="n"', digest('algorithm=SHA-256'))).toContain('algorithm=SHA-256');
    expect(answer('Basic realm="x"')).toBe('Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==');
    expect(answer('Digest realm="x", nonce="n", algorithm=WHIRLPOOL', 'Bearer')).toBeUndefined();
  });
});

describe('requests', () => {
  const open = () => {
    const again: string[] = [];
    const requests = new RtspRequests({
      alias: 'rtsp://127.0.0.1:5/source',
      url: 'rtsp://camera:554/live?token=t',
      credentials: { username: 'admin', password: 'secret' },
      send: (bytes) => void again.push(bytes.toString('latin1')),
    });
    const ask = (text: string) =>
      Buffer.concat(requests.push(Buffer.from(text, 'latin1'))).toString('latin1');
    return { requests, again, ask };
  };
  const refusal = (cseq: number) =>
    `RTSP/1.0 401 Unauthorized\r\nCSeq: ${cseq}\r\nWWW-Authenticate: Basic realm="x"`;

  test('go on with the path and, once it is wanted, the password', () => {
    const { requests, again, ask } = open();
    expect(ask('DESCRIBE rtsp://127.0.0.1:5/source RTSP/1.0\r\nCSeq: 7\r\nAccept: a\r\n\r\n')).toBe(
      'DESCRIBE rtsp://camera:554/live?token=t RTSP/1.0\r\nCSeq: 1\r\nAccept: a\r\n\r\n',
    );
    expect(requests.answered(refusal(1))).toBeUndefined();
    expect(again).toEqual([
      'DESCRIBE rtsp://camera:554/live?token=t RTSP/1.0\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\nCSeq: 2\r\nAccept: a\r\n\r\n',
    ]);
    expect(requests.answered('RTSP/1.0 200 OK\r\nCSeq: 2')).toBe('RTSP/1.0 200 OK\r\nCSeq: 7');
    const setup = ask('SETUP rtsp://127.0.0.1:5/source/track=1 RTSP/1.0\r\nCSeq: 8\r\n\r\n');
    expect(setup).toContain('SETUP rtsp://camera:554/live?token=t/track=1 RTSP/1.0');
    expect(setup).toContain('Authorization: Basic');
    // Refused with it: the password is wrong, and FFmpeg is to hear that.
    expect(requests.answered(refusal(3))).toBeUndefined();
    expect(requests.answered(refusal(4))).toContain('401 Unauthorized\r\nCSeq: 8');
    expect(again).toHaveLength(2);
  });

  test('media and answers of FFmpeg go through, in pieces of any size', () => {
    const sent = '$\x01\x00\x04abcdRTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n$\x00\x00\x00';
    for (const size of [1, 3, 100]) {
      const { requests } = open();
      const out: Buffer[] = [];
      for (let at = 0; at < sent.length; at += size)
        out.push(...requests.push(Buffer.from(sent.slice(at, at + size), 'latin1')));
      expect(Buffer.concat(out).toString('latin1')).toBe(sent);
    }
  });
});
