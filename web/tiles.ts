/** What a viewer sees: a place for each participant. */

/** A place without a new picture for that long is empty, or its camera is muted. */
const STALE_MS = 1500;

/** Shows and hides places as their pictures come and go. @returns whether any is seen */
export async function refreshTiles(connection: RTCPeerConnection, tiles: readonly Tile[]): Promise<boolean> {
  const frames = new Map<string, number>();
  const report = await connection.getStats();
  report.forEach((stats: RTCStats) => {
    if (stats.type !== 'inbound-rtp') return;
    const { mid, framesDecoded = 0 } = stats as RTCInboundRtpStreamStats;
    // A place that showed one track after the other has statistics of each.
    if (mid !== undefined) frames.set(mid, (frames.get(mid) ?? 0) + framesDecoded);
  });
  for (const tile of tiles) tile.refresh(frames.get(tile.mid(connection)) ?? 0);
  return tiles.some((tile) => tile.shown);
}

/** A place for one participant: seen only while new pictures come. */
export class Tile {
  readonly #figure = document.createElement('figure');
  readonly #video = document.createElement('video');
  readonly #caption = document.createElement('figcaption');
  readonly #picture: MediaStreamTrack | undefined;
  #frames = 0;
  #newFrameAt = -Infinity;

  constructor(parent: HTMLElement, stream: MediaStream, index: number) {
    this.#picture = stream.getVideoTracks()[0];
    this.#figure.className = 'screen';
    this.#figure.hidden = true;
    this.#video.autoplay = this.#video.playsInline = true;
    this.#video.srcObject = stream;
    this.#video.setAttribute('aria-label', `Place ${index + 1}`);
    this.#figure.append(this.#video, this.#caption);
    parent.append(this.#figure);
  }

  get shown(): boolean {
    return !this.#figure.hidden;
  }

  mid(connection: RTCPeerConnection): string {
    return connection.getTransceivers().find(({ receiver }) => receiver.track === this.#picture)?.mid ?? '';
  }

  /** @param frames decoded so far */
  refresh(frames: number): void {
    if (frames !== this.#frames) this.#newFrameAt = performance.now();
    this.#frames = frames;
    this.#figure.hidden = performance.now() - this.#newFrameAt > STALE_MS;
    this.#caption.textContent = `${this.#video.videoWidth} × ${this.#video.videoHeight}`;
  }
}
