/** Publishes what a run's pipeline sends: one track a kind, in the order the bridge needs. */
import {
  SimulcastCodecInfo,
  TrackInfo,
  TrackSource,
  TrackType,
  VideoLayer,
  VideoQuality,
} from '@livekit/protocol';
import type { IngressInfo } from '@livekit/protocol';
import type { AudioOutput, VideoOutput } from '../../pipelines/shared/ingress-protocol.ts';
import type { BridgeClient } from '../bridge/client.ts';
import type { BridgeParams } from '../bridge/protocol.ts';
import { newSrtpKey } from '../bridge/srtp-key.ts';
import { bridgeTrackSource } from '../bridge/view.ts';
import { audioParameters, videoParameters } from './rtp-parameters.ts';
import type { RunPipeline, RunSource } from './source.ts';

/** How RTP gets from this worker to the SFU. */
export interface MediaPath {
  /** Address the pipeline binds. */
  address: string;
  /** RTP crosses a network: encrypt it. */
  srtp: boolean;
  portRange: { min: number; max: number } | undefined;
}

export interface PublishOptions {
  bridge: BridgeClient;
  pipeline: RunPipeline;
  path: MediaPath;
  info: IngressInfo;
  source: Pick<RunSource, 'video' | 'audio'>;
  video: VideoOutput | null;
  audio: AudioOutput | null;
  cname: string;
}

export interface Publication {
  publicationId: string;
  track: TrackInfo;
}

/** What `bind` wants of a path. */
export function bindAddress({ address, portRange }: MediaPath) {
  return { ip: address, ...(portRange && { portMin: portRange.min, portMax: portRange.max }) };
}

/**
 * Each kind: a socket is bound, the track published from it, and the pipeline told where it goes.
 * @throws what bridge and pipeline throw; then some may be published, and end with {@link unpublishAll}
 */
export async function publishAll(options: PublishOptions, into: Publication[]): Promise<void> {
  const { video, audio, info, source, cname } = options;
  if (audio) {
    const rtpParameters = audioParameters(audio, cname, source.audio?.channels);
    into.push(
      await publish(options, {
        kind: 'audio',
        source: sourceOr(info.audio?.source, TrackSource.MICROPHONE),
        name: info.audio?.name ?? '',
        rtpParameters,
      }),
    );
  }
  if (video) {
    const rtpParameters = videoParameters(video, cname, source.video?.profile);
    into.push(
      await publish(
        options,
        {
          kind: 'video',
          source: sourceOr(info.video?.source, TrackSource.CAMERA),
          name: info.video?.name ?? '',
          rtpParameters,
          ...sizeOf(video, source),
        },
        layersOf(video),
      ),
    );
  }
}

/** Gives them back; with the bridge, or a track the SFU has closed, they are gone already. */
export async function unpublishAll(
  bridge: BridgeClient,
  publications: readonly Publication[],
): Promise<void> {
  await Promise.all(
    publications.map(({ publicationId }) =>
      bridge.request('unpublish', { publicationId }).catch(() => undefined),
    ),
  );
}

async function publish(
  { bridge, pipeline, path }: PublishOptions,
  track: Omit<BridgeParams<'publish'>, 'ip' | 'port' | 'srtp'>,
  layers: VideoLayer[] = [],
): Promise<Publication> {
  const port = await pipeline.bind(track.kind, bindAddress(path));
  const local = path.srtp ? newSrtpKey() : undefined;
  const { publicationId, trackId, remote, srtp } = await bridge.request('publish', {
    ...track,
    ip: path.address,
    port,
    ...(local && { srtp: local }),
  });
  if (local && !srtp) throw new Error('the SFU answered without SRTP keys although SRTP was asked for');
  await pipeline.connect(track.kind, { remote, ...(local && srtp && { srtp: { local, remote: srtp } }) });
  return { publicationId, track: trackInfo(trackId, track, layers) };
}

function trackInfo(
  sid: string,
  track: Omit<BridgeParams<'publish'>, 'ip' | 'port' | 'srtp'>,
  layers: VideoLayer[],
): TrackInfo {
  const { kind, source, name, rtpParameters, width = 0, height = 0 } = track;
  const [codec] = rtpParameters.codecs;
  return new TrackInfo({
    sid,
    type: kind === 'audio' ? TrackType.AUDIO : TrackType.VIDEO,
    name,
    source: TrackSource[source.toUpperCase() as keyof typeof TrackSource],
    mimeType: codec?.mimeType ?? '',
    width,
    height,
    simulcast: rtpParameters.encodings.length > 1,
    layers,
    codecs: [new SimulcastCodecInfo({ mimeType: codec?.mimeType ?? '', layers })],
    stereo: codec?.parameters.stereo === 1,
  });
}

/** Pixels of the largest layer, upright; none when the source has not said. */
function sizeOf(video: VideoOutput, source: Pick<RunSource, 'video'>): { width?: number; height?: number } {
  if (video.mode === 'encode') {
    const top = video.layers.at(-1);
    return top ? { width: top.width, height: top.height } : {};
  }
  const { width = 0, height = 0 } = source.video ?? {};
  return width > 0 && height > 0 ? { width, height } : {};
}

function sourceOr(source: TrackSource | undefined, otherwise: TrackSource) {
  return bridgeTrackSource(source === undefined || source === TrackSource.UNKNOWN ? otherwise : source);
}

const QUALITIES = [VideoQuality.HIGH, VideoQuality.MEDIUM, VideoQuality.LOW];

function layersOf(video: VideoOutput): VideoLayer[] {
  if (video.mode === 'copy') return [];
  return video.layers.map(
    ({ width, height, bitrate, ssrc }, spatialLayer) =>
      new VideoLayer({
        // Counted from the top: one layer is the HIGH one.
        quality: QUALITIES[video.layers.length - 1 - spatialLayer] ?? VideoQuality.LOW,
        width,
        height,
        bitrate,
        ssrc,
        spatialLayer,
      }),
  );
}
