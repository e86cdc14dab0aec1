/** What is recorded while faults happen. */
import {
  DirectFileOutput,
  EncodedFileOutput,
  EncodingOptions,
  S3Upload,
  SegmentedFileOutput,
  StreamOutput,
} from 'livekit-server-sdk';
import type { EgressInfo, EncodedOutputs } from 'livekit-server-sdk';
import { trackIds } from '../support/callers.ts';
import type { Sluice } from '../support/sluice.ts';
import type { Swift } from '../support/swift.ts';

export const CANVAS = { width: 480, height: 270, framerate: 10 };
export const RECORDINGS = ['copy', 'room', 'track', 'stream', 'guest', 'encoder', 'film'] as const;
export type RecordingName = (typeof RECORDINGS)[number];

/** @param streamUrl where `stream` goes */
export async function startRecording(
  sluice: Sluice,
  name: RecordingName,
  streamUrl: string,
): Promise<EgressInfo> {
  const { egress } = sluice;
  const file = { file: new EncodedFileOutput({ filepath: name }) };
  switch (name) {
    case 'copy':
      return copy(sluice, 'studio', 'alice', file);
    case 'guest':
      return copy(sluice, 'guests', 'guest', file);
    case 'encoder':
    case 'film':
      return copy(sluice, 'outside', name, file);
    case 'stream':
      return copy(sluice, 'studio', 'alice', { stream: new StreamOutput({ urls: [streamUrl] }) });
    case 'track': {
      const { video = '' } = await trackIds(sluice, 'studio', 'carol');
      return egress.startTrackEgress('studio', new DirectFileOutput({ filepath: name }), video);
    }
    case 'room': {
      const segments = new SegmentedFileOutput({
        ...{ filenamePrefix: 'hls/room', playlistName: 'room.m3u8', segmentDuration: 2 },
      });
      const encodingOptions = new EncodingOptions({ ...CANVAS, videoBitrate: 400 });
      return egress.startRoomCompositeEgress(
        'studio',
        { ...file, segments },
        { layout: 'grid', encodingOptions },
      );
    }
  }
}

/** Alice once more, into a bucket. @param endpoint the storage's, or a proxy's in front of it */
export function startUploaded(
  sluice: Sluice,
  { swift, endpoint, bucket, key }: { swift: Swift; endpoint: string; bucket: string; key: string },
): Promise<EgressInfo> {
  const { accessKey, secret, region } = swift;
  const s3 = new S3Upload({ accessKey, secret, region, endpoint, bucket, forcePathStyle: true });
  const file = new EncodedFileOutput({ filepath: key, output: { case: 's3', value: s3 } });
  return copy(sluice, 'studio', 'alice', { file });
}

async function copy(
  sluice: Sluice,
  room: string,
  identity: string,
  output: EncodedOutputs,
): Promise<EgressInfo> {
  const { audio, video } = await trackIds(sluice, room, identity);
  if (audio === undefined || video === undefined) throw new Error(`${identity} has not published`);
  const options = { audioTrackId: audio, videoTrackId: video };
  return sluice.egress.startTrackCompositeEgress(room, output, options);
}
