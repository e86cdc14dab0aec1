/**
 * The tracks of a publisher in a room as a source: a WHIP publisher whose media is to be transcoded is in a room of
 * its own, and the worker subscribes there, hidden, over a bridge connection of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BridgeClient } from '../bridge/client.ts';
import { joinRoom } from '../bridge/join.ts';
import type { BridgeParticipant, BridgeSubscription, BridgeTrack } from '../bridge/protocol.ts';
import { newSrtpKey } from '../bridge/srtp-key.ts';
import type { IngressInit } from '../../pipelines/shared/ingress-protocol.ts';
import { InputError } from './inputs/types.ts';
import type { InputAudio, InputEnd, InputMeasures, InputVideo } from './inputs/types.ts';
import { bindAddress } from './publications.ts';
import type { MediaPath } from './publications.ts';
import type { ConnectSource, RunPipeline, RunSource } from './source.ts';
import { TrackStats } from './track-stats.ts';

/** A publisher's tracks come one after another; the second is waited for this long, ms. */
const SECOND_TRACK_MS = 1000;
const POLL_MS = 50;
/** How long a publisher may take to publish anything, ms. */
const FIRST_TRACK_MS = 10_000;

export interface RoomSourceOptions {
  bridgeUrl: string;
  /** Token of a hidden participant that subscribes in that room. */
  token: () => Promise<string>;
  attempt: number;
  /** Whose tracks. */
  identity: string;
  path: MediaPath;
  logger: Logger;
}

/** The sources of a publisher in a room. */
export function roomSources(options: RoomSourceOptions): ConnectSource {
  return async (signal) => {
    const { bridgeUrl, token, attempt, logger } = options;
    const bridge = await joinRoom({ url: bridgeUrl, token, attempt, logger, wanted: () => !signal.aborted });
    signal.throwIfAborted();
    if (!bridge) throw new InputError('the publisher is not there', { retry: true });
    try {
      const publisher = await publisherIn(bridge, options.identity, signal);
      return new RoomSource(bridge, publisher, options);
    } catch (error) {
      await bridge.leave();
      throw error;
    }
  };
}

/** Waits for the publisher's tracks. @throws InputError; the signal's reason */
async function publisherIn(
  bridge: BridgeClient,
  identity: string,
  signal: AbortSignal,
): Promise<BridgeParticipant> {
  const started = performance.now();
  let firstAt: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const found = [...bridge.participants.values()].find((each) => each.identity === identity);
    const now = performance.now();
    if (found && found.tracks.length > 0) {
      firstAt ??= now;
      const kinds = new Set(found.tracks.map(({ kind }) => kind));
      if (kinds.size === 2 || now - firstAt > SECOND_TRACK_MS) return found;
    }
    if (bridge.closed) throw new InputError('the publisher has gone', { retry: true });
    if (firstAt === undefined && now - started > FIRST_TRACK_MS) {
      throw new InputError('the publisher sends nothing', { retry: true });
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

class RoomSource implements RunSource {
  readonly pacing = 'arrival';
  readonly input: IngressInit['input'] = { type: 'rtp' };
  readonly video: InputVideo | undefined;
  readonly audio: InputAudio | undefined;
  readonly #bridge: BridgeClient;
  readonly #options: RoomSourceOptions;
  readonly #tracks: BridgeTrack[];
  readonly #subscriptions: BridgeSubscription[] = [];
  readonly #end = Promise.withResolvers<InputEnd>();
  readonly #stats: TrackStats;

  constructor(bridge: BridgeClient, publisher: BridgeParticipant, options: RoomSourceOptions) {
    this.#bridge = bridge;
    this.#options = options;
    const video = publisher.tracks.find(({ kind }) => kind === 'video');
    const audio = publisher.tracks.find(({ kind }) => kind === 'audio');
    this.#tracks = [video, audio].filter((track) => track !== undefined);
    this.video = video && {
      codec: codecOf(video),
      profile: '',
      width: 0,
      height: 0,
      rotation: 0,
      framerate: undefined,
      // WebRTC has none.
      bFrames: false,
    };
    this.audio = audio && { codec: codecOf(audio), sampleRate: 48_000, channels: 2 };
    this.#stats = new TrackStats(bridge, this.#subscriptions);
    bridge.onClose((_code, reason) => this.#lost(reason || 'the publisher has gone'));
    bridge.onEvent((event) => {
      if (event.event === 'subscriptionClosed') this.#lost("the publisher's track has ended");
      if (event.event === 'trackPublished' && event.participantId === publisher.participantId) {
        const known = this.#tracks.some(({ kind }) => kind === event.track.kind);
        if (!known) this.#lost('the publisher has added a track');
      }
    });
  }

  get heardAt(): number {
    return this.#stats.heardAt;
  }

  get ended(): Promise<InputEnd> {
    return this.#end.promise;
  }

  async attach(pipeline: RunPipeline): Promise<void> {
    for (const { trackId, kind } of this.#tracks) {
      const { path } = this.#options;
      const port = await pipeline.bindInput(kind, bindAddress(path));
      const local = path.srtp ? newSrtpKey() : undefined;
      const subscription = await this.#bridge.request('subscribe', {
        trackId,
        ip: path.address,
        port,
        ...(local && { srtp: local }),
      });
      this.#subscriptions.push(subscription);
      const { codec, ssrc, remote, srtp } = subscription;
      if (local && !srtp) throw new Error('the SFU answered without SRTP keys although SRTP was asked for');
      await pipeline.connectInput(kind, {
        codec: {
          mimeType: codec.mimeType,
          payloadType: codec.payloadType,
          clockRate: codec.clockRate,
          ...(codec.channels !== undefined && { channels: codec.channels }),
          parameters: codec.parameters,
        },
        ssrc,
        remote,
        ...(local && srtp && { srtp: { local, remote: srtp } }),
      });
    }
  }

  async flow(): Promise<void> {
    for (const { subscriptionId, kind } of this.#subscriptions) {
      await this.#bridge.request('resume', { subscriptionId });
      if (kind === 'video') await this.#bridge.request('requestKeyFrame', { subscriptionId });
    }
    this.#stats.start();
  }

  measures(): InputMeasures {
    return this.#stats.measures();
  }

  async close(): Promise<void> {
    this.#stats.close();
    this.#lost('closed');
    await this.#bridge.leave();
  }

  #lost(reason: string): void {
    this.#end.resolve({ type: 'lost', reason });
  }
}

/** `video/H264` is `h264`, as inputs name codecs. */
function codecOf({ mimeType }: BridgeTrack): string {
  const name = mimeType.split('/')[1]?.toLowerCase() ?? '';
  return { pcmu: 'pcm_mulaw', pcma: 'pcm_alaw' }[name] ?? name;
}
