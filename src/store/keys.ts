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
  /** Set of ids of the egress's outputs that are still to be uploaded; see uploads/list.ts. */
  uploads: (egressId: string) => `sluice:upload-egress:${egressId}`,
  /** List of changes of EgressInfo and IngressInfo not yet turned into webhooks, oldest first; see outbox.ts. */
  outbox: 'sluice:outbox',
  /** Sorted set of names, scored by how long they are vouched for, ms of Redis' clock; see leases.ts. */
  leases: (set: string) => `sluice:leases:${set}`,
  /** Text: who does what only one may do at a time. */
  holder: (what: string) => `sluice:holder:${what}`,
  /** Text: id of the egress whose file gets this name in this storage; see name-claims.ts. */
  nameClaim: (store: string, name: string) => `sluice:name:${store}:${name}`,
} as const;

export const ingressKeys = {
  /** Hash: one ingress, see ingress-record.ts. */
  ingress: (ingressId: string) => `sluice:ingress-record:${ingressId}`,
  /** Sorted set of ingress ids, scored by creation, ms. */
  all: 'sluice:ingress-index:all',
  /** Hash: stream key -> ingress id. */
  streamKeys: 'sluice:ingress-index:stream-keys',
  /** The last attempt that was given out, over all ingresses. */
  counter: 'sluice:ingress-attempts',
  /** Text: the ingress id this attempt was given to. Past attempts are forgotten after a while. */
  attempt: (attempt: number | string) => `sluice:ingress-attempt:${attempt}`,
  /** Sorted set of ids of live ingresses, scored by when their lease runs out, ms of Redis' clock. */
  leases: 'sluice:ingress-index:leases',
  /** Set of ids of live ingresses. */
  live: 'sluice:ingress-index:live',
} as const;

export const channels = {
  /** Carries the latest `desired`. */
  desired: (egressId: string) => `sluice:egress-desired:${egressId}`,
  /** Carries the EgressInfo just written. */
  info: 'sluice:egress-info',
  /** Wakes whoever empties the outbox. */
  outbox: 'sluice:outbox-filled',
  /** Says that the API has changed or deleted this ingress. */
  ingress: (ingressId: string) => `sluice:ingress-change:${ingressId}`,
} as const;
