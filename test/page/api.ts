/** What the tests' page offers as `sluice`; no types of the browser, so that tests can import it. */

export interface PublishOptions {
  token: string;
  codec?: string;
  simulcast?: boolean;
  width?: number;
  height?: number;
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
  /** In the order of the slots of what was watched last. */
  played(): Promise<Played[]>;
  /** @returns the ICE user names of both sides afterwards */
  restartIce(what: 'publisher' | 'viewer'): Promise<{ local: string; remote: string; state: string }>;
  /** Ends the session as a client should. */
  stop(what: 'publisher' | 'viewer'): Promise<void>;
  /** Closes the connection and tells the server nothing. */
  hangUp(what: 'publisher' | 'viewer'): void;
}
