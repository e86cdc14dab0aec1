/** An MPEG-TS chunk without what came in a pause (pure): whole PES packets go, and the tables between them. */
import { keepOutsidePauses } from './pauses-rule.ts';
import type { Pause } from './pauses-rule.ts';
import { nsToTicks, readPacket, ticksToNs, TS_PACKET, unwrap } from './ts-packets.ts';
import { scanTs } from './ts-scan.ts';
import type { PesRecord, TsScan } from './ts-scan.ts';

/** @throws InspectError */
export function keptPes(
  data: Uint8Array,
  pauses: readonly Pause[],
  nearNs: number,
): { pes: PesRecord; keep: boolean }[] {
  return kept(scanTs(data, true), pauses, nearNs);
}

function kept(
  { pes }: TsScan,
  pauses: readonly Pause[],
  nearNs: number,
): { pes: PesRecord; keep: boolean }[] {
  const near = nsToTicks(nearNs);
  let lastNs = nearNs;
  const frames = pes.map((each) => {
    // One without a time belongs to the one before it.
    lastNs = each.pts === undefined ? lastNs : ticksToNs(unwrap(each.pts, near));
    const kind = each.kind === 'h264' ? ('video' as const) : ('audio' as const);
    return { kind, atNs: lastNs, keyFrame: each.randomAccess };
  });
  const keep = keepOutsidePauses(frames, pauses);
  return pes.map((each, i) => ({ pes: each, keep: keep[i] ?? true }));
}

/** Undefined when all of it stays; empty when nothing does. @throws InspectError */
export function withoutPausesTs(
  data: Uint8Array,
  pauses: readonly Pause[],
  nearNs: number,
): Uint8Array | undefined {
  const scan = scanTs(data, true);
  const all = kept(scan, pauses, nearNs);
  if (all.every(({ keep }) => keep)) return undefined;
  if (!all.some(({ keep }) => keep)) return new Uint8Array(0);
  const keepAt = new Map(all.map(({ pes, keep }) => [pes.from, keep]));
  const { pat, pmt } = scan.tables;
  const parts: Uint8Array[] = [data.subarray(pat, pat + TS_PACKET), data.subarray(pmt, pmt + TS_PACKET)];
  const keepOf = new Map<number, boolean>();
  // Tables come ten times a second: those of an hour of nothing go with it.
  let keepsTables = true;
  for (let at = 0; at + TS_PACKET <= data.length; at += TS_PACKET) {
    const packet = readPacket(data, at);
    if (!packet || at === pat || at === pmt) continue;
    const decided = keepAt.get(at);
    if (decided !== undefined) {
      keepOf.set(packet.pid, decided);
      keepsTables = decided;
    }
    if (keepOf.get(packet.pid) ?? keepsTables) parts.push(data.subarray(at, at + TS_PACKET));
  }
  return Buffer.concat(parts);
}
