/** What happens in rooms, as webhooks. Changes of egresses come from the store's outbox instead. */
import type { Logger } from 'pino';
import type { Sfu, SfuEvent } from '../sfu/types.ts';
import type { WebhookFields, Webhooks } from './types.ts';

/** The webhook for an event, and the name of the room it is in order with; undefined when LiveKit has none for it. */
export function sfuWebhook(event: SfuEvent): { fields: WebhookFields; roomName: string } | undefined {
  switch (event.type) {
    case 'room_started':
    case 'room_finished':
      return { fields: { event: event.type, room: event.room.info() }, roomName: event.room.name };
    case 'participant_joined':
    case 'participant_left': {
      const { participant } = event;
      const { room } = participant;
      const fields = { event: event.type, room: room.info(), participant: participant.info() };
      return { fields, roomName: room.name };
    }
    case 'track_published':
    case 'track_unpublished': {
      const { participant } = event.track;
      const { room } = participant;
      const fields = {
        event: event.type,
        room: room.info(),
        participant: participant.info(),
        track: event.track.info(),
      };
      return { fields, roomName: room.name };
    }
    default:
      return undefined;
  }
}

/** Sends the SFU's events as webhooks. @returns a function that ends it. */
export function connectSfuWebhooks(
  sfu: Pick<Sfu, 'on'>,
  webhooks: Pick<Webhooks, 'emit'>,
  logger: Logger,
): () => void {
  return sfu.on((event) => {
    const webhook = sfuWebhook(event);
    if (webhook === undefined) return;
    webhooks.emit(webhook.fields, webhook.roomName).catch((error: unknown) => {
      logger.error({ err: error, event: event.type, room: webhook.roomName }, 'webhook not queued');
    });
  });
}
