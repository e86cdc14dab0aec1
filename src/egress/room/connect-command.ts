/** What a pipeline is told of a track it is to receive. Pure. */
import type { BridgeSubscription } from '../../bridge/protocol.ts';
import type { Command, SrtpKey } from '../../../pipelines/shared/protocol.ts';
import type { WantedTrack } from './selection.ts';

/** @param local the pipeline's own SRTP key; undefined where RTP is in the clear. */
export function connectCommand(
  { track, participantId, channel }: WantedTrack,
  subscription: BridgeSubscription,
  local: SrtpKey | undefined,
): Extract<Command, { cmd: 'connect' }> {
  const { trackId } = track;
  return {
    cmd: 'connect',
    trackId,
    syncGroup: participantId,
    kind: track.kind,
    codec: {
      mimeType: subscription.codec.mimeType,
      payloadType: subscription.codec.payloadType,
      clockRate: subscription.codec.clockRate,
      ...(subscription.codec.channels !== undefined && { channels: subscription.codec.channels }),
      parameters: subscription.codec.parameters,
    },
    ssrc: subscription.ssrc,
    remote: subscription.remote,
    ...(local && subscription.srtp && { srtp: { local, remote: subscription.srtp } }),
    muted: subscription.producerPaused,
    ...(channel !== undefined && { channel }),
  };
}
