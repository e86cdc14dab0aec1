/** A closed chunk's file without what came in a pause: that must not stay on the disk either. */
import { rename, rm, writeFile } from 'node:fs/promises';
import type { LogContainer } from './files.ts';
import { withoutPauses } from './pauses.ts';
import type { Pause } from './pauses.ts';

/**
 * Writes the file anew where it holds something of a pause, and removes it where it holds nothing else.
 * @param data what is in it
 * @returns what is in it now; undefined when it is gone
 * @throws InspectError when it cannot be read
 */
export async function takeOutPauses(
  path: string,
  data: Uint8Array,
  container: LogContainer,
  pauses: readonly Pause[],
  nearNs: number,
): Promise<Uint8Array | undefined> {
  const rest = data.length > 0 ? withoutPauses(data, container, pauses, nearNs) : undefined;
  if (!rest) return data;
  if (rest.length === 0) {
    await rm(path, { force: true });
    return undefined;
  }
  const part = `${path}.part`;
  await writeFile(part, rest);
  await rename(part, path);
  return rest;
}
