/** FFmpeg's `framecrc` listing: when each decoded frame is due. Pure. */

export interface FrameTime {
  /** Seconds. */
  time: number;
  duration: number;
}

/** @throws Error when the listing has no time base or a line that is not a frame */
export function parseFrameTimes(listing: string): FrameTime[] {
  let timeBase: number | undefined;
  const frames: FrameTime[] = [];
  for (const line of listing.split('\n')) {
    const base = /^#tb 0: (\d+)\/(\d+)/.exec(line);
    if (base) timeBase = Number(base[1]) / Number(base[2]);
    if (line === '' || line.startsWith('#')) continue;
    const [, , pts, duration] = line.split(',').map(Number);
    if (timeBase === undefined || pts === undefined || !Number.isFinite(pts))
      throw new Error(`not a line of a framecrc listing: ${line}`);
    frames.push({ time: pts * timeBase, duration: (duration ?? 0) * timeBase });
  }
  return frames;
}
