/**
 * Delivery of {@link SfuEvent}s: in order, to everybody, whatever a listener does. What happens in an internal room is
 * heard only there.
 */
import type { Logger } from 'pino';
import type { SfuEvent, SfuRoom } from './types.ts';

export type SfuListener = (event: SfuEvent) => void;

/**
 * An event that a listener causes is delivered after the one being delivered, so that every listener sees the
 * same order. A listener that throws is logged, and the others still hear.
 */
export class SfuEvents {
  readonly #logger: Logger;
  readonly #listeners = new Set<SfuListener>();
  readonly #roomListeners = new WeakMap<SfuRoom, Set<SfuListener>>();
  readonly #queue: SfuEvent[] = [];
  #delivering = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @returns takes the listener away */
  on(listener: SfuListener): () => void {
    return add(this.#listeners, listener);
  }

  /** Only events of `room`. */
  onRoom(room: SfuRoom, listener: SfuListener): () => void {
    let listeners = this.#roomListeners.get(room);
    if (!listeners) {
      listeners = new Set();
      this.#roomListeners.set(room, listeners);
    }
    return add(listeners, listener);
  }

  emit(event: SfuEvent): void {
    this.#queue.push(event);
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) this.#deliver(next);
    } finally {
      this.#delivering = false;
    }
  }

  #deliver(event: SfuEvent): void {
    const room = roomOf(event);
    const ofRoom = this.#roomListeners.get(room) ?? [];
    for (const listener of [...(room.internal ? [] : this.#listeners), ...ofRoom]) {
      try {
        listener(event);
      } catch (err) {
        this.#logger.error({ err, event: event.type }, 'listener of an SFU event threw');
      }
    }
  }
}

/** The room an event happened in. */
export function roomOf(event: SfuEvent): SfuRoom {
  if ('room' in event) return event.room;
  if ('participant' in event) return event.participant.room;
  return event.track.participant.room;
}

/** Wrapped, so that one function added twice is two listeners. */
function add(listeners: Set<SfuListener>, listener: SfuListener): () => void {
  const entry: SfuListener = (event) => listener(event);
  listeners.add(entry);
  return () => void listeners.delete(entry);
}
