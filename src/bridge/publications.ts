/** The tracks a worker publishes: one PlainTransport and one producer each. */
import { randomUUID } from 'node:crypto';
import type { types as ms } from 'mediasoup';
import type { SfuParticipant, SfuTrack } from '../sfu/types.ts';
import { BridgeRequestError } from './errors.ts';
import type { BridgeEvent, BridgeParams, BridgePublication } from './protocol.ts';
import { trackSource } from './view.ts';

interface Publication {
  track: SfuTrack;
  transport: ms.PlainTransport;
}

export class Publications {
  readonly #participant: SfuParticipant;
  readonly #remoteIp: (workerIp: string) => string;
  readonly #send: (event: BridgeEvent) => void;
  readonly #publications = new Map<string, Publication>();
  #closed = false;

  /** @param remoteIp the SFU's address for a worker that sends from `workerIp` */
  constructor(
    participant: SfuParticipant,
    remoteIp: (workerIp: string) => string,
    send: (event: BridgeEvent) => void,
  ) {
    this.#participant = participant;
    this.#remoteIp = remoteIp;
    this.#send = send;
  }

  /** @throws BridgeRequestError, SfuError `permission_denied` */
  async publish(params: BridgeParams<'publish'>): Promise<BridgePublication> {
    const { kind, source, name, ip, port, srtp, rtpParameters, width, height } = params;
    if (!this.#participant.permissions.canPublish) {
      throw new BridgeRequestError('not_allowed', 'the access token does not allow publishing');
    }
    const transport = await this.#participant.room.createPlainTransport({
      srtp: srtp !== undefined,
      ...(srtp && { cryptoSuite: srtp.cryptoSuite }),
    });
    try {
      await transport.connect({ ip, port, ...(srtp && { srtpParameters: srtp }) });
      const producer = await transport.produce({ kind, rtpParameters: producerParameters(rtpParameters) });
      // The participant may have stayed for another worker.
      if (this.#closed) throw new BridgeRequestError('not_joined', 'the worker has left the room');
      const track = this.#participant.publish(producer, {
        source: trackSource(source),
        name,
        ...(width === undefined ? {} : { width }),
        ...(height === undefined ? {} : { height }),
      });
      const publicationId = randomUUID();
      this.#publications.set(publicationId, { track, transport });
      // Also when the SFU closes the track: its transport goes with it.
      producer.observer.once('close', () => {
        this.#publications.delete(publicationId);
        transport.close();
      });
      if (kind === 'video') {
        track.onKeyFrameRequest(() => this.#send({ event: 'keyFrameRequested', publicationId }));
      }
      return {
        publicationId,
        trackId: track.sid,
        remote: { ip: this.#remoteIp(ip), port: transport.tuple.localPort },
        ...(transport.srtpParameters && { srtp: transport.srtpParameters }),
      };
    } catch (err) {
      transport.close();
      throw err;
    }
  }

  async unpublish({ publicationId }: BridgeParams<'unpublish'>): Promise<void> {
    this.#get(publicationId).track.close();
  }

  async setMuted({ publicationId, muted }: BridgeParams<'setMuted'>): Promise<void> {
    await this.#get(publicationId).track.setMuted(muted);
  }

  /** Ends every publication, and those that are being made. */
  closeAll(): void {
    this.#closed = true;
    for (const { track } of [...this.#publications.values()]) track.close();
  }

  #get(publicationId: string): Publication {
    const publication = this.#publications.get(publicationId);
    if (!publication) throw new BridgeRequestError('not_found', `there is no publication ${publicationId}`);
    return publication;
  }
}

function producerParameters(given: BridgeParams<'publish'>['rtpParameters']): ms.RtpParameters {
  return {
    ...(given.mid === undefined ? {} : { mid: given.mid }),
    codecs: given.codecs.map(({ channels, rtcpFeedback, ...codec }) => ({
      ...codec,
      ...(channels === undefined ? {} : { channels }),
      rtcpFeedback: rtcpFeedback.map(({ type, parameter }) => (parameter ? { type, parameter } : { type })),
    })),
    encodings: given.encodings.map(({ ssrc, rid, maxBitrate }) => ({
      ssrc,
      ...(rid === undefined ? {} : { rid }),
      ...(maxBitrate === undefined ? {} : { maxBitrate }),
    })),
    rtcp: { cname: given.cname },
  };
}
