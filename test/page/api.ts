/** What the tests' page offers as `sluice`; no types of the browser, so that tests can import it. */
import type { ColorName } from '../../pipelines/publisher/signal.ts';

export interface PublishOptions {
  token: string;
  /** Of the endpoint, default `/whip`. */
  url?: string;
  codec?: string;
  simulcast?: boolean;
  width?: number;
  height?: number;
  /** Publishes the picture and sound of the content checks, in this colour, instead of the studio's. */
  marked?: ColorName;
  /** Of the marked picture, default 30. */
  fps?: number;
}

/** What a publisher has sent so far. */
export interface Sent {
  /** Marked frames drawn, 0 without `marked`; the last one's counter is one less. */
  drawn: number;
  /** Largest layer first. */
  layers: { height: number; encoded: number; limitedBy: string }[];
}

export interface WatchOptions {
  token: string;
  slots?: number;
  participant?: string;
  layer?: 'low' | 'medium' | 'high';
}

/** What a pair of slots has played so far. */
export interface Played {
  /** Pixels of the current picture, 0 before the first. */
  width: number;
  frames: number;
  /** Of the sound (totalAudioEnergy). */
  energy: number;
}

export interface PageApi {
  publish(options: PublishOptions): Promise<void>;
  watch(options: WatchOptions): Promise<void>;
  /**
   * Watches with an offer as the browser makes it, one section for each of `kinds`.
   * @param numbers other payload types, by the browser's own
   * @returns the answer
   */
  watchPlainly(token: string, kinds: string[], numbers?: Record<string, string>): Promise<string>;
  sent(): Promise<Sent>;
  /** Ends the largest simulcast layer, as clients do that nobody watches at full size. */
  endTopLayer(): Promise<void>;
  /** In the order of the slots of what was watched last. */
  played(): Promise<Played[]>;
  /** @returns the ICE user names of both sides afterwards */
  restartIce(what: 'publisher' | 'viewer'): Promise<{ local: string; remote: string; state: string }>;
  /** Ends the session as a client should. */
  stop(what: 'publisher' | 'viewer'): Promise<void>;
  /** Closes the connection and tells the server nothing. */
  hangUp(what: 'publisher' | 'viewer'): void;
}
