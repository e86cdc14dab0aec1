/** How much disk a recording needs, and what a worker does as it runs out. Pure. */
import { keptSeconds } from '../egress/kept.ts';
import type { EgressPlan } from '../egress/plan/types.ts';

/** A new recording is to have room for so much of itself, s. */
const ROOM_FOR_S = 600;
/** kbit/s of what is copied: nobody knows before it comes. */
const COPIED_KBPS = 3000;

/**
 * How often a recording's log is written again when its files are made of it: once for each file, and once more where
 * the storage is a folder of this machine.
 */
export function copiesAtEnd(plan: Pick<EgressPlan, 'outputs'>, localStorage: boolean): number {
  const files = plan.outputs.filter(({ type }) => type === 'file').length;
  return files * (localStorage ? 2 : 1);
}

/**
 * Bytes of ten minutes of it, its files included. Of what only streams a little stays, and as much again is room for
 * the chunk that is being written and for those that are about to be dropped.
 */
export function expectedBytes(
  plan: Pick<EgressPlan, 'outputs' | 'choice' | 'video' | 'audio'>,
  copies: number,
): number {
  const video = plan.video && (plan.choice.program === 'composite' ? plan.video.bitrate : COPIED_KBPS);
  const seconds = Math.min(ROOM_FOR_S, 2 * keptSeconds(plan));
  const kbps = (video ?? 0) + (plan.audio?.bitrate ?? 0);
  return Math.ceil(((kbps * 1000) / 8) * seconds * (1 + copies));
}

export interface DiskState {
  /** Bytes. */
  readonly free: number;
  /** Bytes that what runs needs for its files, were it to end now. */
  readonly finishing: number;
}

/** Bytes there are for new recordings; below 0 when there are none. */
export function roomForNew({ free, finishing }: DiskState, minFree: number): number {
  return free - finishing - minFree;
}

/** Whether what runs must end now, so that its files can still be made. */
export function mustStop({ free, finishing }: DiskState, stopFree: number): boolean {
  return free - finishing < stopFree;
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `1.5 GiB`. */
export function shownBytes(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, Math.abs(bytes))) / 10));
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${UNITS[power]}`;
}
