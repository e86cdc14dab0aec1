/** The broadcast a plan or an upload asks for, of either kind of segment. */
import { FragmentedOutput } from './fmp4/index.ts';
import type { FragmentedOptions } from './fmp4/index.ts';
import { HlsOutput } from './index.ts';
import type { BroadcastOutput } from './index.ts';

export type BroadcastOptions = FragmentedOptions & { segmentType: 'mpegts' | 'fmp4' | undefined };

export function openBroadcast({ segmentType, ...options }: BroadcastOptions): BroadcastOutput {
  return segmentType === 'fmp4' ? new FragmentedOutput(options) : new HlsOutput(options);
}
