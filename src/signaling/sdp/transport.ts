/** ICE and DTLS of an offer. */
import type { types as ms } from 'mediasoup';
import { quote, SdpError } from './errors.ts';
import type { OwnLines, RawSection, RawSession } from './raw.ts';

export interface RemoteTransport {
  usernameFragment: string;
  password: string;
  /** For `WebRtcTransport.connect()`: the role is the peer's, so `client` lets the peer begin the handshake. */
  dtlsParameters: ms.DtlsParameters;
  /** What the answer's `a=setup` says about us. */
  setup: 'passive' | 'active';
}

/** Hash to its length in bytes (RFC 8122 §5); those mediasoup knows. */
const FINGERPRINT_BYTES: Readonly<Record<ms.FingerprintAlgorithm, number>> = {
  'sha-1': 20,
  'sha-224': 28,
  'sha-256': 32,
  'sha-384': 48,
  'sha-512': 64,
};

/**
 * Lengths are those of RFC 8839 §5.4. Its characters are letters, digits, "+" and "/", but libdatachannel and
 * others use more, and only STUN compares them.
 */
const UFRAG = /^[\x21-\x7e]{4,256}$/;
const PASSWORD = /^[\x21-\x7e]{22,256}$/;

/**
 * The transport all kept sections share: that of the session, or of the first section that describes one.
 * @throws SdpError `ice` or `dtls`
 */
export function transportOf(raw: RawSession, bundle: ReadonlySet<string> | undefined): RemoteTransport {
  const owner = raw.media.find(
    (section) => section.iceUfrag !== undefined && (!bundle || bundle.has(section.mid ?? '')),
  );
  const usernameFragment = owner?.iceUfrag ?? raw.iceUfrag;
  const password = owner?.icePwd ?? raw.icePwd;
  if (usernameFragment === undefined || password === undefined) {
    throw new SdpError('ice', 'the offer has no "a=ice-ufrag" and "a=ice-pwd" lines');
  }
  if (!UFRAG.test(usernameFragment) || !PASSWORD.test(password)) {
    throw new SdpError(
      'ice',
      '"a=ice-ufrag" must have 4 to 256 and "a=ice-pwd" 22 to 256 printable characters',
    );
  }
  if (raw.icelite !== undefined || owner?.icelite !== undefined) {
    throw new SdpError('ice', 'the offer says "a=ice-lite", as this server does: one side must do full ICE');
  }
  const { role, setup } = roles(setupLine(raw, owner));
  return {
    usernameFragment,
    password,
    dtlsParameters: { role, fingerprints: fingerprintsOf(raw, owner) },
    setup,
  };
}

function setupLine(raw: RawSession, owner: RawSection | undefined): string | undefined {
  return owner?.setup ?? raw.setup ?? raw.media.find(({ setup }) => setup !== undefined)?.setup;
}

function roles(setup: string | undefined): { role: ms.DtlsRole; setup: 'passive' | 'active' } {
  switch (setup) {
    // RFC 9725 §4.5 has the client begin.
    case 'actpass':
    case 'active':
      return { role: 'client', setup: 'passive' };
    case 'passive':
      return { role: 'server', setup: 'active' };
    case undefined:
      throw new SdpError('dtls', 'the offer has no "a=setup" line: it should be "a=setup:actpass"');
    default:
      throw new SdpError('dtls', `"a=setup:${quote(setup).slice(1, -1)}" cannot be answered: use actpass`);
  }
}

function fingerprintsOf(raw: RawSession, owner: RawSection | undefined): ms.DtlsFingerprint[] {
  const has = (lines: OwnLines | undefined) => (lines?.fingerprints.length ? lines.fingerprints : undefined);
  const lines = has(owner) ?? has(raw) ?? has(raw.media.find((section) => has(section)));
  if (!lines) throw new SdpError('dtls', 'the offer has no "a=fingerprint" line: DTLS-SRTP is required');
  const fingerprints = lines.flatMap(({ algorithm, value }) => {
    const known = algorithm.toLowerCase();
    if (!isKnownAlgorithm(known)) return [];
    if (!new RegExp(`^([0-9a-f]{2}:){${FINGERPRINT_BYTES[known] - 1}}[0-9a-f]{2}$`, 'i').test(value)) {
      throw new SdpError(
        'dtls',
        `"a=fingerprint:${known}" must have ${FINGERPRINT_BYTES[known]} bytes as hex pairs between colons`,
      );
    }
    return [{ algorithm: known, value: value.toUpperCase() }];
  });
  if (fingerprints.length === 0) {
    throw new SdpError(
      'dtls',
      `no "a=fingerprint" has a known hash: use one of ${Object.keys(FINGERPRINT_BYTES).join(', ')}`,
    );
  }
  return fingerprints;
}

function isKnownAlgorithm(name: string): name is ms.FingerprintAlgorithm {
  return Object.hasOwn(FINGERPRINT_BYTES, name);
}
