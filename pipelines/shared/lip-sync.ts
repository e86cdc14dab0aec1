/**
 * Lip sync between tracks that come and go (pure: no GStreamer, no clock).
 *
 * Every track has a timeline of its own: the program stamps packets as they arrive, so a track whose network
 * path or encoder is slower lies later on the running time than it was captured. RTCP Sender Reports (RFC 3550,
 * 6.4.1) name the sender's wall clock for an RTP timestamp; the depayloader names the running time for one.
 * Together they give {@link senderClockAtZero}: what the sender's clock showed at running time zero, as this
 * track tells it. Where two tracks of one sender disagree, the one that says more is early, and is delayed
 * by the difference.
 */

/** A pair of an RTCP Sender Report. */
export interface SenderReport {
  /** NTP timestamp, 32.32 fixed point seconds since 1900. */
  ntp: bigint;
  /** RTP timestamp of the same instant. */
  rtp: number;
}

/** Where a packet landed on the running time. */
export interface MediaPosition {
  rtp: number;
  /** Running time, ns, without the lip-sync offset in force. */
  runningNs: number;
}

/** Bounds and speeds. All in ns. */
export interface LipSyncOptions {
  /** No track is delayed by more than this. */
  maxOffsetNs: number;
  /** Differences below this are left alone: they are noise of the measurement. */
  deadbandNs: number;
  /** Largest change per {@link LipSync.step} once a track is in sync: small enough that time never runs back. */
  slewNs: number;
  /** A track whose delay must grow by more than this jumps: its picture is held, its sound is silent for as long. */
  jumpNs: number;
}

export const LIP_SYNC_DEFAULTS: LipSyncOptions = {
  maxOffsetNs: 1e9,
  deadbandNs: 4e6,
  slewNs: 8e6,
  jumpNs: 40e6,
};

/** Measurements (one a Sender Report, about one a second) that a track's clock is the median of. */
const WINDOW = 5;
/**
 * Measurements this far from the median are outliers, unless two in a row are about there: then the track's clock has
 * moved. (An SFU says when packets arrived until it has heard enough reports to say when they were captured.)
 */
const STEP_NS = 30_000_000n;
const AGREE_NS = 60_000_000n;
/**
 * Measurements a track needs before it counts. The first report may still say when packets arrived while another
 * track's says when they were captured: sound was held back by a quarter of a second for three.
 */
const BELIEVED = 2;
/**
 * Steps a sound must be delayed far too long before the delay is cut at once: a picture that began late (a burst of
 * keyframe packets, a simulcast layer that came up) moves back within seconds, and slewing after it would take ten times
 * as long. Sound can be cut; a picture's time must not run back in a muxer.
 */
const CUT_AFTER_STEPS = 3;
/** Steps (two a second) without a measurement after which a track no longer holds the others of its group back. */
const STALE_STEPS = 20;

/** Nanoseconds that a sender's clock (since 1900) showed at running time zero. */
export function senderClockAtZero(report: SenderReport, media: MediaPosition, clockRate: number): bigint {
  const ntpNs = (report.ntp * 1_000_000_000n) >> 32n;
  // RTP timestamps wrap at 32 bit: the signed difference.
  const ticks = (media.rtp - report.rtp) | 0;
  return ntpNs + BigInt(Math.round((ticks * 1e9) / clockRate) - Math.round(media.runningNs));
}

export interface OffsetChange {
  trackId: string;
  /** Delay to put on the track from now on. */
  offsetNs: number;
}

interface TrackState {
  group: string;
  /** Its time may run back. */
  canCut: boolean;
  /** Steps in a row that its delay was too long by more than a jump. */
  tooLongSteps: number;
  clocks: bigint[];
  /** The latest measurement, if it was not believed. */
  outlier: bigint | undefined;
  offsetNs: number;
  silentSteps: number;
}

/** Keeps the delay of every track; call {@link measure} as measurements come and {@link step} periodically. */
export class LipSync {
  readonly #options: LipSyncOptions;
  readonly #tracks = new Map<string, TrackState>();

  constructor(options: LipSyncOptions = LIP_SYNC_DEFAULTS) {
    this.#options = options;
  }

  /** @param kind sound's delay may be cut at once, a picture's only shrinks step by step */
  add(trackId: string, group: string, kind: 'audio' | 'video'): void {
    const canCut = kind === 'audio';
    this.#tracks.set(trackId, {
      group,
      canCut,
      tooLongSteps: 0,
      clocks: [],
      outlier: undefined,
      offsetNs: 0,
      silentSteps: 0,
    });
  }

  remove(trackId: string): void {
    this.#tracks.delete(trackId);
  }

  /** Delay in force, 0 for a track that is not known. */
  offsetOf(trackId: string): number {
    return this.#tracks.get(trackId)?.offsetNs ?? 0;
  }

  /**
   * What the sender's clock showed at running time zero, as the track is put now, its delay counted; undefined until two
   * reports have agreed.
   */
  clockOf(trackId: string): bigint | undefined {
    const track = this.#tracks.get(trackId);
    if (!track || track.clocks.length < BELIEVED) return undefined;
    return median(track.clocks) - BigInt(Math.round(track.offsetNs));
  }

  /** Takes in one {@link senderClockAtZero} of a track. */
  measure(trackId: string, clockAtZero: bigint): void {
    const track = this.#tracks.get(trackId);
    if (!track) return;
    track.silentSteps = 0;
    const settled = track.clocks.length === 0 || abs(clockAtZero - median(track.clocks)) <= STEP_NS;
    const { outlier } = track;
    track.outlier = settled ? undefined : clockAtZero;
    if (settled) track.clocks = [...track.clocks, clockAtZero].slice(-WINDOW);
    else if (outlier !== undefined && abs(clockAtZero - outlier) <= AGREE_NS)
      track.clocks = [outlier, clockAtZero];
  }

  /** The changes to make now. */
  step(): OffsetChange[] {
    const changes: OffsetChange[] = [];
    for (const group of this.#groups()) {
      const clocks = group.map(([, track]) => median(track.clocks));
      const latest = clocks.reduce((low, clock) => (clock < low ? clock : low));
      group.forEach(([trackId, track], index) => {
        const target = Number((clocks[index] ?? latest) - latest);
        const offsetNs = this.#approach(track, target);
        if (offsetNs === track.offsetNs) return;
        track.offsetNs = offsetNs;
        changes.push({ trackId, offsetNs });
      });
    }
    return changes;
  }

  /** Groups of two and more tracks that have been measured, and lately. */
  #groups(): [string, TrackState][][] {
    const groups = new Map<string, [string, TrackState][]>();
    for (const entry of this.#tracks) {
      const [, track] = entry;
      if (track.clocks.length < BELIEVED || ++track.silentSteps > STALE_STEPS) continue;
      groups.set(track.group, [...(groups.get(track.group) ?? []), entry]);
    }
    return [...groups.values()].filter((group) => group.length > 1);
  }

  #approach(track: TrackState, wanted: number): number {
    const { maxOffsetNs, deadbandNs, slewNs, jumpNs } = this.#options;
    const { offsetNs: current } = track;
    // Beyond the bound the reports are not to be believed (a sender whose tracks have clocks of their own).
    if (wanted > maxOffsetNs) return current;
    const difference = wanted - current;
    track.tooLongSteps = difference < -jumpNs ? track.tooLongSteps + 1 : 0;
    if (track.canCut && track.tooLongSteps >= CUT_AFTER_STEPS) {
      track.tooLongSteps = 0;
      return wanted;
    }
    if (Math.abs(difference) < deadbandNs) return current;
    if (difference > jumpNs) return wanted;
    return current + Math.max(-slewNs, Math.min(slewNs, difference));
  }
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}

function median(values: readonly bigint[]): bigint {
  const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return sorted[sorted.length >> 1] ?? 0n;
}
