/**
 * Routers with a viewer's payload types.
 *
 * mediasoup gives a packet its payload type once, when it comes in, and no consumer changes it. A viewer whose
 * offer has other numbers than the room's router is served by a second router in the same worker, into which
 * the tracks it watches are piped. Viewers with the same numbers (browsers of one make) share one.
 */
import type { types as ms } from 'mediasoup';
import type { SfuRoom } from '../sfu/types.ts';

export interface SideRouter {
  readonly router: ms.Router;
  /** Id by which `producer` is consumed on this router. */
  pipe(producer: ms.Producer): Promise<string>;
  /** To be called once by each holder; the last one closes the router. */
  release(): void;
}

interface Entry {
  router: Promise<ms.Router>;
  holders: number;
  /** By producer id. */
  pipes: Map<string, Promise<string>>;
}

export class SideRouters {
  readonly #rooms = new WeakMap<SfuRoom, Map<string, Entry>>();

  /** @throws SfuError when the room has ended */
  async acquire(room: SfuRoom, mediaCodecs: readonly ms.RouterRtpCodecCapability[]): Promise<SideRouter> {
    const entries = this.#rooms.get(room) ?? new Map<string, Entry>();
    this.#rooms.set(room, entries);
    const key = JSON.stringify(mediaCodecs);
    const entry = entries.get(key) ?? {
      router: room.createRouter(mediaCodecs),
      holders: 0,
      pipes: new Map(),
    };
    entries.set(key, entry);
    entry.holders += 1;
    const drop = () => {
      entry.holders -= 1;
      if (entry.holders > 0) return false;
      if (entries.get(key) === entry) entries.delete(key);
      return true;
    };
    let router: ms.Router;
    try {
      router = await entry.router;
    } catch (error) {
      drop();
      throw error;
    }
    let held = true;
    return {
      router,
      pipe: (producer) => this.#pipe(room, router, entry, producer),
      release: () => {
        if (held && drop()) router.close();
        held = false;
      },
    };
  }

  #pipe(room: SfuRoom, router: ms.Router, entry: Entry, producer: ms.Producer): Promise<string> {
    const existing = entry.pipes.get(producer.id);
    if (existing) return existing;
    const piping = room.router
      // An id can be there only once in a worker.
      .pipeToRouter({ producerId: producer.id, router, keepId: false, enableSctp: false })
      .then(({ pipeProducer }) => pipeProducer?.id ?? producer.id);
    entry.pipes.set(producer.id, piping);
    const forget = () => entry.pipes.delete(producer.id);
    producer.observer.once('close', forget);
    piping.catch(forget);
    return piping;
  }
}
