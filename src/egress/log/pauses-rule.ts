/** Which frames of a chunk stay when what came in a pause is taken out. Pure. */

/** Egress clock, ns. */
export interface Pause {
  startNs: number;
  /** Infinity while it lasts. */
  endNs: number;
}

/** Sound waits this long for the picture to go on with, ns: then it goes on alone, for the picture may be muted. */
const SOUND_WAITS_NS = 1.5e9;

export interface Frame {
  kind: 'video' | 'audio';
  atNs: number;
  keyFrame: boolean;
}

/**
 * For every frame whether it stays. A picture goes on with the first keyframe after a pause, and sound with it; a chunk
 * that begins after a pause begins with a keyframe anyway.
 */
export function keepOutsidePauses(frames: readonly Frame[], pauses: readonly Pause[]): boolean[] {
  const firstNs = frames.reduce((first, { atNs }) => Math.min(first, atNs), Infinity);
  const hasVideo = frames.some(({ kind }) => kind === 'video');
  const goesOn = pauses
    .filter(({ endNs }) => endNs > firstNs && endNs < Infinity)
    .map(({ endNs }) => {
      const keyNs = frames.reduce(
        (first, { kind, keyFrame, atNs }) =>
          kind === 'video' && keyFrame && atNs >= endNs ? Math.min(first, atNs) : first,
        Infinity,
      );
      return {
        endNs,
        videoNs: keyNs,
        audioNs: hasVideo ? Math.min(keyNs, endNs + SOUND_WAITS_NS) : endNs,
      };
    });
  return frames.map(({ kind, atNs }) => {
    if (pauses.some(({ startNs, endNs }) => atNs >= startNs && atNs < endNs)) return false;
    const last = goesOn.findLast(({ endNs }) => endNs <= atNs);
    return !last || atNs >= (kind === 'video' ? last.videoNs : last.audioNs);
  });
}
