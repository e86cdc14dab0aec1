/** Keys of SRTP's encoder. */
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';

import type { SrtpKey } from '../shared/protocol.ts';
import { srtpCipher } from '../shared/rtp-codecs.ts';
import { setFromText, setProperties } from './gst.ts';

/** Gives an `srtpenc` what it encrypts with. @throws Error if the key has the wrong length for its suite */
export function setSrtpKey(encoder: Gst.Element, key: SrtpKey): void {
  const { cipher, auth, rtcpAuth } = srtpCipher(key, (base64) => GLib.base64_decode(base64));
  setProperties(encoder, { key: Gst.Buffer.new_wrapped(GLib.base64_decode(key.keyBase64)) });
  setFromText(encoder, {
    'rtp-cipher': cipher,
    'rtp-auth': auth,
    'rtcp-cipher': cipher,
    'rtcp-auth': rtcpAuth,
  });
}
