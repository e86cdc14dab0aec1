/**
 * When a publisher is asked for keyframes: one schedule a producer, however many recorders want them.
 *
 * Each simulcast layer is a stream of its own with keyframes of its own, so the schedule looks at the layers
 * that are being received; a producer without simulcast has layer 0 only.
 */

/** A recorder's wish. */
export interface KeyFrameWish {
  /** A keyframe at least this often, ms. */
  intervalMs: number;
  /** The layer received at the moment; undefined while nothing is (paused, muted, closed). */
  layer(): number | undefined;
  /** Sends the request to the publisher, for the layer received. */
  request(): void;
}

/** Shorter intervals are treated as this one: more PLIs than that only ruin the picture. */
export const MIN_INTERVAL_MS = 250;
/** A keyframe within this time of a request answers it (mediasoup repeats a PLI after 1 s). */
const ANSWER_MS = 1000;
/**
 * A publisher with a GOP exactly as long as the interval must not get a PLI a millisecond before its keyframe:
 * after a keyframe it sent by itself, the next one may be late by this part of the interval.
 */
const GRACE = 0.1;
const MAX_GRACE_MS = 200;

interface LayerState {
  /** The interval counts from here: the last keyframe sent unasked, or the last request. */
  since: number;
  /** The keyframe at `since` came by itself. */
  unasked: boolean;
  /** When a keyframe was asked for and has not come yet. */
  askedAt: number | undefined;
}

export class KeyFrameSchedule {
  readonly #wishes = new Set<KeyFrameWish>();
  readonly #layers = new Map<number, LayerState>();
  #timer: NodeJS.Timeout | undefined;

  /** Whether anybody wants keyframes. */
  get active(): boolean {
    return this.#wishes.size > 0;
  }

  /** @returns gives the wish back; may be called again without effect */
  add(wish: KeyFrameWish): () => void {
    const own = { ...wish, intervalMs: Math.max(wish.intervalMs, MIN_INTERVAL_MS) };
    this.#wishes.add(own);
    this.#run();
    return () => {
      if (this.#wishes.delete(own)) this.#run();
    };
  }

  /** A keyframe of `layer` came from the publisher (call it for every packet of it, if that is easier). */
  keyFrame(layer: number): void {
    const now = performance.now();
    const state = this.#layers.get(layer);
    if (state?.askedAt !== undefined && now - state.askedAt <= ANSWER_MS) {
      // The answer to a request: the train goes on from the request, or every round trip would stretch it.
      // Further packets of the same keyframe come while `askedAt` is still young, and change nothing.
      return;
    }
    this.#layers.set(layer, { since: now, unasked: true, askedAt: undefined });
    this.#run();
  }

  close(): void {
    this.#wishes.clear();
    this.#layers.clear();
    clearTimeout(this.#timer);
  }

  /** Asks where it is time to, and sets the timer for the next. */
  #run(): void {
    clearTimeout(this.#timer);
    if (this.#wishes.size === 0) {
      this.#layers.clear();
      return;
    }
    const now = performance.now();
    // Also looks again after the shortest interval: consumers change layers without telling.
    let next = now + Math.min(...[...this.#wishes].map((wish) => wish.intervalMs));
    const received = this.#byLayer();
    for (const layer of this.#layers.keys()) {
      // mediasoup itself asks for a keyframe when somebody comes back to a layer.
      if (!received.has(layer)) this.#layers.delete(layer);
    }
    for (const [layer, wishes] of received) {
      const intervalMs = Math.min(...wishes.map((wish) => wish.intervalMs));
      let state = this.#layers.get(layer);
      if (!state) {
        state = { since: now, unasked: false, askedAt: undefined };
        this.#layers.set(layer, state);
      }
      if (now >= dueAt(state, intervalMs)) {
        state.since = now;
        state.unasked = false;
        state.askedAt = now;
        wishes[0]?.request();
      }
      next = Math.min(next, dueAt(state, intervalMs));
    }
    this.#timer = setTimeout(() => this.#run(), next - now).unref();
  }

  #byLayer(): Map<number, KeyFrameWish[]> {
    const layers = new Map<number, KeyFrameWish[]>();
    for (const wish of this.#wishes) {
      const layer = wish.layer();
      if (layer === undefined) continue;
      const wishes = layers.get(layer);
      if (wishes) wishes.push(wish);
      else layers.set(layer, [wish]);
    }
    return layers;
  }
}

function dueAt(state: LayerState, intervalMs: number): number {
  const grace = state.unasked ? Math.min(intervalMs * GRACE, MAX_GRACE_MS) : 0;
  return state.since + intervalMs + grace;
}
