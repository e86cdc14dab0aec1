/** The face of webhook delivery. */
import type { PartialMessage } from '@bufbuild/protobuf';
import type { WebhookConfig, WebhookEvent } from '@livekit/protocol';

/** LiveKit's names. */
export const WEBHOOK_NAMES = [
  'room_started',
  'room_finished',
  'participant_joined',
  'participant_left',
  'track_published',
  'track_unpublished',
  'egress_started',
  'egress_updated',
  'egress_ended',
  'ingress_started',
  'ingress_ended',
] as const;
export type WebhookName = (typeof WEBHOOK_NAMES)[number];

/** A WebhookEvent without what delivery adds: `id` and `createdAt`. */
export type WebhookFields = Omit<PartialMessage<WebhookEvent>, 'event' | 'id' | 'createdAt'> & {
  event: WebhookName;
};

export interface Webhooks {
  /**
   * Queues an event for every configured URL, and for `extra` ones a request named. Resolves when Redis has it: from
   * then on it is delivered, in order with the others of the same `orderKey`, at least once, by any process that has
   * started delivering.
   *
   * @param orderKey the room's name, or the egress's or ingress's id.
   */
  emit(event: WebhookFields, orderKey: string, extra?: readonly WebhookConfig[]): Promise<void>;
  /** Starts delivering here, also what earlier processes left. */
  start(): Promise<void>;
  /** Stops delivering; what is on its way gets a moment, what waits stays for the next process. */
  close(): Promise<void>;
}

/** How long things take; the defaults are meant for production. All in ms. */
export interface WebhookTiming {
  /** A destination has this long to answer. */
  request: number;
  /** The pause after the first failure; it doubles up to `maxRetry`. */
  firstRetry: number;
  maxRetry: number;
  /** How long an undeliverable event is tried. */
  giveUp: number;
  /** The same for an event that the destination refuses (4xx): trying again seldom helps. */
  giveUpRefused: number;
  /** A process that delivers and goes silent is replaced after this; more than `request`. */
  lease: number;
  /** How often what has been forgotten is looked for. */
  sweep: number;
}

export const DEFAULT_TIMING: WebhookTiming = {
  request: 10_000,
  firstRetry: 1_000,
  maxRetry: 10 * 60_000,
  giveUp: 24 * 3_600_000,
  giveUpRefused: 3_600_000,
  lease: 20_000,
  sweep: 30_000,
};
