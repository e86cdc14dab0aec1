/** A worker that has joined: its participant, what it receives and publishes, and what it is told. */
import { isIP } from 'node:net';
import { z } from 'zod';
import type { LeaveReason, SfuParticipant, SfuRoom } from '../sfu/types.ts';
import { BridgeRequestError } from './errors.ts';
import { bridgeEvent } from './events.ts';
import { isLocalAddress } from './media-address.ts';
import { bridgeRequestSchemas } from './protocol.ts';
import type { BridgeEvent, BridgeJoinResult, BridgeMethod, BridgeParams, BridgeResult } from './protocol.ts';
import { Publications } from './publications.ts';
import { Subscriptions } from './subscriptions.ts';
import { showParticipants } from './view.ts';

/** Methods of a worker that has joined. */
export type MemberMethod = Exclude<BridgeMethod, 'join' | 'leave'>;

type Handlers = { [M in MemberMethod]: (params: BridgeParams<M>) => Promise<BridgeResult<M>> };

export interface MemberOptions {
  /** The SFU's address for a worker whose media is at `workerIp`. */
  remoteIp: (workerIp: string) => string;
  send: (event: BridgeEvent) => void;
  /** The participant is gone; called once. */
  onLeft: (reason: LeaveReason) => void;
}

export class Member {
  readonly participant: SfuParticipant;
  readonly #handlers: Handlers;
  readonly #letGo: () => void;

  constructor(participant: SfuParticipant, { remoteIp, send, onLeft }: MemberOptions) {
    this.participant = participant;
    const subscriptions = new Subscriptions(participant, remoteIp, send);
    const publications = new Publications(participant, remoteIp, send);
    this.#handlers = handlers(subscriptions, publications);
    const stopEvents = participant.room.on((event) => {
      const shown = bridgeEvent(event, participant);
      if (shown) send(shown);
    });
    let { metadata } = participant;
    const stopUpdates = participant.onUpdate(() => {
      if (participant.metadata === metadata) return;
      metadata = participant.metadata;
      send({ event: 'metadataChanged', metadata });
    });
    const stopClose = participant.onClose((reason) => {
      this.#letGo();
      onLeft(reason);
    });
    this.#letGo = () => {
      stopClose();
      stopEvents();
      stopUpdates();
      subscriptions.closeAll();
      publications.closeAll();
    };
  }

  /** The worker no longer stands behind the participant, who stays in the room without tracks. */
  detach(): void {
    this.#letGo();
  }

  get room(): SfuRoom {
    return this.participant.room;
  }

  /** The answer to `join`. */
  joined(): BridgeJoinResult {
    const { room, participant } = this;
    return {
      room: { roomId: room.sid, name: room.name, metadata: room.metadata },
      participantId: participant.sid,
      participants: showParticipants(room, participant),
      activeSpeakers: room.activeSpeakers(),
    };
  }

  /** @throws BridgeRequestError, SfuError, or what mediasoup throws */
  async handle<M extends MemberMethod>(method: M, params: unknown): Promise<BridgeResult<M>> {
    return this.#handlers[method](parseParams(method, params));
  }
}

/** @throws BridgeRequestError `invalid`, naming what is wrong */
export function parseParams<M extends BridgeMethod>(method: M, params: unknown): BridgeParams<M> {
  const parsed = bridgeRequestSchemas[method].safeParse(params);
  if (!parsed.success) throw new BridgeRequestError('invalid', `${method}: ${z.prettifyError(parsed.error)}`);
  return parsed.data as BridgeParams<M>;
}

function handlers(subscriptions: Subscriptions, publications: Publications): Handlers {
  return {
    subscribe: async (params) => {
      checkMediaAddress(params);
      return subscriptions.subscribe(params);
    },
    unsubscribe: async (params) => done(subscriptions.unsubscribe(params)),
    resume: async (params) => done(subscriptions.resume(params)),
    pause: async (params) => done(subscriptions.pause(params)),
    requestKeyFrame: async (params) => done(subscriptions.requestKeyFrame(params)),
    keyFrameCadence: async (params) => done(subscriptions.keyFrameCadence(params)),
    setPreferredLayers: async (params) => done(subscriptions.setPreferredLayers(params)),
    stats: (params) => subscriptions.stats(params),
    publish: async (params) => {
      checkMediaAddress(params);
      return publications.publish(params);
    },
    unpublish: async (params) => done(publications.unpublish(params)),
    setMuted: async (params) => done(publications.setMuted(params)),
  };
}

/** The answer `{}`, when the work is done. */
async function done(work: Promise<void>): Promise<Record<string, never>> {
  await work;
  return {};
}

/** @throws BridgeRequestError `invalid` */
function checkMediaAddress({ ip, srtp }: { ip: string; srtp?: unknown }): void {
  if (isIP(ip) === 0) throw new BridgeRequestError('invalid', `ip must be an IP address, not "${ip}"`);
  if (!srtp && !isLocalAddress(ip)) {
    throw new BridgeRequestError(
      'invalid',
      `RTP to another machine (${ip}) must be SRTP: send srtp parameters`,
    );
  }
}
