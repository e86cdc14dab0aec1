/** Tells what comes in over a connection, from its first packet on. */
import { IngressState_Status as Status } from '@livekit/protocol';
import type { Logger } from 'pino';
import type { SfuRoom, SfuTrack } from '../../sfu/types.ts';
import { InputMeter } from './meter.ts';
import type { Shown } from './session-state.ts';
import { copyNote } from './state.ts';

/** The caller closes the meter. */
export function reportInput(
  room: SfuRoom,
  tracks: readonly SfuTrack[],
  save: (shown: Shown) => void,
  logger: Logger,
): InputMeter {
  const shown = () => ({
    status: Status.ENDPOINT_PUBLISHING,
    roomId: room.sid,
    tracks: tracks.map((track) => track.info()),
    error: copyNote(tracks.map(({ kind, mimeType, spatialLayers: layers }) => ({ kind, mimeType, layers }))),
  });
  return new InputMeter({
    room,
    tracks,
    flowing: () => save(shown()),
    measured: (measured) => save({ ...shown(), measured }),
    logger,
  });
}
