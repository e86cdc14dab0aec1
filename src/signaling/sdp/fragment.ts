/** SDP fragments of trickle ICE and ICE restarts (RFC 8840 §9, RFC 9725 §4.3). */
import type { types as ms } from 'mediasoup';
import { candidateLines } from './answer.ts';
import { quote, SdpError } from './errors.ts';
import type { Offer } from './offer.ts';

export interface Fragment {
  usernameFragment?: string;
  password?: string;
  candidates: number;
  endOfCandidates: boolean;
}

const MAX_FRAGMENT_BYTES = 64 * 1024;

/** @throws SdpError `syntax` or `ice` */
export function parseFragment(text: string): Fragment {
  if (Buffer.byteLength(text) > MAX_FRAGMENT_BYTES) {
    throw new SdpError('syntax', `the fragment is too long: at most ${MAX_FRAGMENT_BYTES} bytes are allowed`);
  }
  const fragment: Fragment = { candidates: 0, endOfCandidates: false };
  for (const line of text.split(/\r\n|\r|\n/)) {
    if (line === '') continue;
    if (!/^[a-z]=./.test(line)) {
      throw new SdpError('syntax', `the fragment has the line ${quote(line)}: it must be "<letter>=<value>"`);
    }
    const [, name, value = ''] = /^a=([\w-]+)(?::(.*))?$/.exec(line) ?? [];
    if (name === 'ice-ufrag')
      fragment.usernameFragment = single('ice-ufrag', fragment.usernameFragment, value);
    if (name === 'ice-pwd') fragment.password = single('ice-pwd', fragment.password, value);
    if (name === 'end-of-candidates') fragment.endOfCandidates = true;
    if (name === 'candidate') {
      checkCandidate(value);
      fragment.candidates += 1;
    }
  }
  if ((fragment.usernameFragment === undefined) !== (fragment.password === undefined)) {
    throw new SdpError('ice', 'the fragment must have both "a=ice-ufrag" and "a=ice-pwd", or neither');
  }
  return fragment;
}

/** Bundled sections may repeat credentials; they have one transport, so there is one pair. */
function single(name: string, before: string | undefined, value: string): string {
  if (before !== undefined && before !== value) {
    throw new SdpError('ice', `the fragment has different "a=${name}" lines: there is one transport`);
  }
  const [min, max] = name === 'ice-ufrag' ? [4, 256] : [22, 256];
  if (!/^[\x21-\x7e]+$/.test(value) || value.length < min || value.length > max) {
    throw new SdpError('ice', `"a=${name}" must have ${min} to ${max} printable characters`);
  }
  return value;
}

function checkCandidate(value: string): void {
  if (!/^\S{1,32} [1-9]\d{0,2} \S+ \d{1,10} \S+ \d{1,5} typ \S+( |$)/.test(value)) {
    throw new SdpError(
      'syntax',
      '"a=candidate" must be "<foundation> <component> <protocol> <priority> <address> <port> typ <type>" (RFC 8839)',
    );
  }
}

/** What an ICE restart is answered with: our new credentials and, as we are ICE-lite, all our candidates. */
export function writeFragment(
  offer: Offer,
  keptMids: readonly string[],
  ice: { parameters: ms.IceParameters; candidates: readonly ms.IceCandidate[] },
): string {
  const first = offer.sections.find(({ mid }) => keptMids.includes(mid));
  const lines = [
    'a=ice-lite',
    'a=ice-options:trickle',
    ...(offer.bundled ? [`a=group:BUNDLE ${keptMids.join(' ')}`] : []),
    `m=${first?.kind ?? 'audio'} 9 ${first?.protocol ?? 'UDP/TLS/RTP/SAVPF'} 0`,
    `a=mid:${first?.mid ?? '0'}`,
    `a=ice-ufrag:${ice.parameters.usernameFragment}`,
    `a=ice-pwd:${ice.parameters.password}`,
    ...candidateLines(ice.candidates),
  ];
  return `${lines.join('\r\n')}\r\n`;
}
