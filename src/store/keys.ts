/** The names of what Sluice keeps in Redis, beside BullMQ's own keys (`sluice:<queue>:…`). */

/** First part of every key BullMQ writes. */
export const QUEUE_PREFIX = 'sluice';

/** Seconds an ended egress is kept. */
export const ENDED_TTL_SECONDS = 24 * 60 * 60;

export const keys = {
  /** Hash: one egress, see record.ts. */
  egress: (egressId: string) => `sluice:egress-record:${egressId}`,
  /** Sorted sets of egress ids, scored by creation, ms. */
  all: 'sluice:egress-index:all',
  active: 'sluice:egress-index:active',
  room: (roomName: string) => `${keys.roomPrefix}${roomName}`,
  roomPrefix: 'sluice:egress-index:room:',
  /** Sorted set of egress ids, scored by when they ended, ms: what is to be forgotten. */
  ended: 'sluice:egress-index:ended',
  /** List of changes of EgressInfo not yet turned into webhooks, oldest first; see outbox.ts. */
  outbox: 'sluice:egress-outbox',
} as const;

export const channels = {
  /** Carries the latest `desired`. */
  desired: (egressId: string) => `sluice:egress-desired:${egressId}`,
  /** Carries the EgressInfo just written. */
  info: 'sluice:egress-info',
} as const;
