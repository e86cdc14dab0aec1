/** What a publisher sends, for people to read. */
export class PublishStats {
  readonly #connection: RTCPeerConnection;
  #last: { at: number; bytes: number } | undefined;

  constructor(connection: RTCPeerConnection) {
    this.#connection = connection;
  }

  /** Names and values; what is not known yet is left out. */
  async read(): Promise<[name: string, value: string][]> {
    const report = await this.#connection.getStats();
    const layers: string[] = [];
    let bytes = 0;
    let codec = '';
    let roundTrip: number | undefined;
    report.forEach((stats: RTCStats) => {
      if (stats.type === 'candidate-pair') {
        roundTrip ??= (stats as RTCIceCandidatePairStats).currentRoundTripTime;
      }
      if (stats.type !== 'outbound-rtp') return;
      const sent = stats as RTCOutboundRtpStreamStats;
      bytes += sent.bytesSent ?? 0;
      if (sent.kind !== 'video') return;
      const { frameWidth = 0, frameHeight = 0, framesPerSecond = 0 } = sent;
      if (framesPerSecond > 0)
        layers.push(`${frameWidth} × ${frameHeight} at ${Math.round(framesPerSecond)}/s`);
      const used: unknown = report.get(sent.codecId ?? '');
      if (typeof used === 'object' && used !== null && 'mimeType' in used) codec = String(used.mimeType);
    });
    const rows: [string, string][] = [
      ['Codec', codec.replace('video/', '')],
      ['Bitrate', this.#bitrate(bytes)],
      ['Pictures', layers.join('\n')],
      ['Round trip', roundTrip === undefined ? '' : `${Math.round(roundTrip * 1000)} ms`],
    ];
    return rows.filter(([, value]) => value !== '');
  }

  #bitrate(bytes: number): string {
    const [last, at] = [this.#last, performance.now()];
    this.#last = { at, bytes };
    if (!last || bytes <= last.bytes) return '';
    return `${(((bytes - last.bytes) * 8) / (at - last.at) / 1000).toFixed(2)} Mbit/s`;
  }
}
