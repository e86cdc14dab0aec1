/** RTP header extensions (RFC 8285) by the names mediasoup knows. */
import type { types as ms } from 'mediasoup';
import type { OfferedSection } from './offer.ts';

export const MID: ms.RtpHeaderExtensionUri = 'urn:ietf:params:rtp-hdrext:sdes:mid';
export const RID: ms.RtpHeaderExtensionUri = 'urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id';
export const TRANSPORT_CC: ms.RtpHeaderExtensionUri =
  'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01';
export const ABS_SEND_TIME: ms.RtpHeaderExtensionUri =
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time';

/**
 * Not taken from publishers. A sender that may not signal its orientation turns its pictures itself, which
 * recorders, players of files and RTMP destinations need; a playout delay is for the viewer to decide.
 */
const NOT_TAKEN: ReadonlySet<string> = new Set([
  'urn:3gpp:video-orientation',
  'http://www.webrtc.org/experiments/rtp-hdrext/playout-delay',
]);

/** What the router reads from a publisher, under the publisher's ids. */
export function receivedExtensions(
  section: OfferedSection,
  capabilities: ms.RtpCapabilities,
): ms.RtpHeaderExtensionParameters[] {
  const taken = new Set<string>();
  return section.extensions.flatMap(({ id, uri }) => {
    const known = capabilities.headerExtensions?.find(
      (ours) =>
        ours.uri === uri &&
        ours.kind === section.kind &&
        (ours.direction === 'sendrecv' || ours.direction === 'recvonly'),
    );
    if (!known || NOT_TAKEN.has(uri) || taken.has(uri)) return [];
    taken.add(uri);
    return [{ uri: known.uri, id }];
  });
}

/**
 * What the router can send a viewer. mediasoup writes an extension under its own id and cannot be told
 * another one, and an answer must not change the ids of the offer (RFC 8285 §7; Firefox refuses it always,
 * Chromium where they collide). So only those count that have the same id on both sides. The absolute send
 * time is not among them: mediasoup's sender does not take the REMB it is for, and with it would stay at the
 * bitrate it began with.
 */
export function sentExtensions(
  section: OfferedSection,
  capabilities: ms.RtpCapabilities,
): ms.RtpHeaderExtensionParameters[] {
  return section.extensions.flatMap(({ id, uri }) => {
    const known = capabilities.headerExtensions?.find(
      (ours) =>
        ours.uri === uri &&
        ours.kind === section.kind &&
        ours.preferredId === id &&
        (ours.direction === 'sendrecv' || ours.direction === 'sendonly'),
    );
    return known && !NOT_TAKEN.has(uri) && uri !== ABS_SEND_TIME ? [{ uri: known.uri, id }] : [];
  });
}

/**
 * Feedback for one way of estimating bandwidth: transport-wide if its extension is there, else REMB if the
 * absolute send time is, else none.
 */
export function bandwidthFeedback(
  feedback: readonly ms.RtcpFeedback[],
  extensions: readonly ms.RtpHeaderExtensionParameters[],
): ms.RtcpFeedback[] {
  const has = (uri: string) => extensions.some((extension) => extension.uri === uri);
  const transportCc = has(TRANSPORT_CC) && feedback.some(({ type }) => type === 'transport-cc');
  const remb = !transportCc && has(ABS_SEND_TIME);
  return feedback.filter(
    ({ type }) => (type !== 'transport-cc' || transportCc) && (type !== 'goog-remb' || remb),
  );
}
