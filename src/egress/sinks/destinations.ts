/** What takes the taps of an egress that streams: by its protocol, and at which quality. */
import { TapFanout } from '../outputs/stream/index.ts';
import type { DestinationStatus, TapFanoutOptions } from '../outputs/stream/index.ts';
import { DestinationSet } from '../outputs/stream/set.ts';
import { WebSocketOutput } from '../outputs/websocket/index.ts';
import type { TapOrigin } from '../pipeline-run.ts';
import type { EgressPlan, StreamOutput } from '../plan/types.ts';
import type { WantedTrack } from '../room/selection.ts';

/** Any number of destinations that do not know of each other; URLs are the destinations' own, keys included. */
export interface Destinations {
  /** Takes a tap's next bytes; never waits. Without `origin` they are the main tap's. */
  push(data: Buffer, origin?: TapOrigin): void;
  /** Whether everything that is to be heard is muted. */
  setMuted?(muted: boolean): void;
  /** @throws OutputError when the URL is none of ours */
  add(url: string): DestinationStatus;
  /** Ends a destination in order; undefined when there is none of that URL. */
  remove(url: string): Promise<DestinationStatus | undefined>;
  readonly statuses: ReadonlyMap<string, DestinationStatus>;
  close(): Promise<void>;
}

/** How an output's destinations are opened. */
export function destinationsOf(
  output: StreamOutput,
  plan: Pick<EgressPlan, 'renditions'>,
  tracks: readonly WantedTrack[],
): (options: TapFanoutOptions) => Destinations {
  if (output.protocol === 'websocket') {
    const muted = tracks.length > 0 && tracks.every(({ track }) => track.muted);
    return (options) => new WebSockets(options, muted);
  }
  const count = plan.renditions?.length ?? 0;
  if (count === 0) return (options) => new TapFanout(options);
  const { qualities = {} } = output;
  return (options) => new Qualities(options, count, (url) => (qualities[url] ?? -1) + 1);
}

/** Destinations that each get the tap of their quality. */
class Qualities implements Destinations {
  readonly #fanouts: readonly TapFanout[];
  readonly #tapOf: (url: string) => number;

  constructor(options: TapFanoutOptions, renditions: number, tapOf: (url: string) => number) {
    this.#fanouts = Array.from({ length: renditions + 1 }, () => new TapFanout(options));
    this.#tapOf = tapOf;
  }

  push(data: Buffer, origin?: TapOrigin): void {
    this.#fanouts[origin?.tap ?? 0]?.push(data);
  }

  add(url: string): DestinationStatus {
    return this.#of(url).add(url);
  }

  async remove(url: string): Promise<DestinationStatus | undefined> {
    return this.#of(url).remove(url);
  }

  get statuses(): ReadonlyMap<string, DestinationStatus> {
    return new Map(this.#fanouts.flatMap((fanout) => [...fanout.statuses]));
  }

  async close(): Promise<void> {
    await Promise.all(this.#fanouts.map((fanout) => fanout.close()));
  }

  #of(url: string): TapFanout {
    const fanout = this.#fanouts[this.#tapOf(url)];
    if (!fanout) throw new Error('a stream has a quality that the plan has not');
    return fanout;
  }
}

/** WebSockets that each get the samples of the main tap. */
class WebSockets implements Destinations {
  readonly #outputs: DestinationSet<WebSocketOutput>;
  #muted: boolean;
  #run: number | undefined;

  constructor({ onStatus, ...options }: TapFanoutOptions, muted: boolean) {
    this.#muted = muted;
    this.#outputs = new DestinationSet(
      (url) =>
        new WebSocketOutput({
          ...{ ...options, url, muted: this.#muted },
          onStatus: (status) => onStatus?.(url, status),
        }),
    );
  }

  push(data: Buffer, origin?: TapOrigin): void {
    const anew = origin?.run !== this.#run;
    this.#run = origin?.run;
    for (const output of this.#outputs.values) output.push(data, anew);
  }

  setMuted(muted: boolean): void {
    this.#muted = muted;
    for (const output of this.#outputs.values) output.setMuted(muted);
  }

  add(url: string): DestinationStatus {
    return this.#outputs.add(url);
  }

  async remove(url: string): Promise<DestinationStatus | undefined> {
    return this.#outputs.remove(url);
  }

  get statuses(): ReadonlyMap<string, DestinationStatus> {
    return this.#outputs.statuses;
  }

  async close(): Promise<void> {
    await this.#outputs.close();
  }
}
