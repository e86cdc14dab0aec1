/** Cuts chunks where a segment must not go on: at another parameter set, and where a chunk alone is too long. */
import { open } from 'node:fs/promises';
import { inspectTs } from '../../log/ts-inspect.ts';
import { scanTs } from '../../log/ts-scan.ts';
import type { TsScan } from '../../log/ts-scan.ts';
import { nsToTicks, readPacket, ticksToNs, TS_PACKET, unwrap } from '../../log/ts-packets.ts';
import type { StreamKind } from '../../log/ts-packets.ts';
import type { Chunk } from '../../log/types.ts';
import { OutputError } from '../errors.ts';
import { readChunk } from '../join.ts';

/** A stretch of a chunk's bytes; nearly always all of them. */
export interface Piece {
  chunk: Chunk;
  /** Byte range in the chunk's file. */
  from: number;
  to: number;
  startNs: number;
  durationNs: number;
  /** Of the video it starts with; undefined without video. */
  parametersHash: string | undefined;
  /** Where PAT and PMT stand that must be put in front, because the piece does not begin with them. */
  tables: { pat: number; pmt: number } | undefined;
}

/**
 * The pieces of a chunk, none longer than `longestNs`.
 * @throws OutputError when the chunk's file cannot be read
 */
export async function piecesOf(chunk: Chunk, longestNs: number): Promise<Piece[]> {
  const whole = chunk.video.length <= 1 && chunk.durationNs <= longestNs;
  if (whole && (await startsWithTables(chunk))) {
    return [
      {
        chunk,
        from: 0,
        to: chunk.bytes,
        startNs: chunk.startNs,
        durationNs: chunk.durationNs,
        parametersHash: chunk.video[0]?.parametersHash,
        tables: undefined,
      },
    ];
  }
  return cutChunk(chunk, await readChunk(chunk), longestNs);
}

/** The first chunk of a run can begin with sound that came before the first keyframe. */
async function startsWithTables(chunk: Chunk): Promise<boolean> {
  const head = Buffer.alloc(TS_PACKET);
  const file = await open(chunk.path, 'r').catch((error: unknown) => {
    throw new OutputError('damaged', `chunk ${chunk.file} cannot be read: ${String(error)}`, {
      cause: error,
    });
  });
  try {
    await file.read(head, 0, TS_PACKET, 0);
  } finally {
    await file.close();
  }
  return readPacket(head, 0)?.pid === 0;
}

interface Cut {
  offset: number;
  startNs: number;
  parametersHash: string | undefined;
}

/** Cuts a chunk's bytes (pure). */
export function cutChunk(chunk: Chunk, data: Uint8Array, longestNs: number): Piece[] {
  const scan = scanTs(data, true);
  const cuts = [...parameterCuts(chunk, data)];
  const endNs = chunk.startNs + chunk.durationNs;
  for (let i = 0; i < cuts.length; i++) {
    const cut = cuts[i];
    const limitNs = cuts[i + 1]?.startNs ?? endNs;
    if (!cut || limitNs - cut.startNs <= longestNs) continue;
    // No keyframe in time: the picture goes on in the next segment, for TARGETDURATION must hold.
    const next = latestUnit(scan, chunk, cut, cut.startNs + longestNs);
    if (next) cuts.splice(i + 1, 0, { ...next, parametersHash: cut.parametersHash });
  }
  return cuts.map((cut, i) => {
    const next = cuts[i + 1];
    return {
      chunk,
      from: cut.offset,
      to: next?.offset ?? data.length,
      startNs: cut.startNs,
      durationNs: (next?.startNs ?? endNs) - cut.startNs,
      parametersHash: cut.parametersHash,
      tables: readPacket(data, cut.offset)?.pid === 0 ? undefined : scan.tables,
    };
  });
}

function parameterCuts(chunk: Chunk, data: Uint8Array): Cut[] {
  const { video } = inspectTs(data, { closed: true, nearNs: chunk.startNs });
  const hashes = video?.infos.map((info) => info.parametersHash) ?? [];
  return [
    { offset: 0, startNs: chunk.startNs, parametersHash: hashes[0] },
    ...(video?.changes ?? []).map(({ offset, atNs }, i) => ({
      offset,
      startNs: atNs,
      parametersHash: hashes[i + 1],
    })),
  ];
}

/**
 * Start of the last picture behind `after` and not later than `untilNs`; where there is none (the picture is muted),
 * of the last sound.
 */
function latestUnit(
  scan: TsScan,
  chunk: Chunk,
  after: Cut,
  untilNs: number,
): { offset: number; startNs: number } | undefined {
  const near = nsToTicks(chunk.startNs);
  const latest = (kind: StreamKind) =>
    scan.pes
      .filter((pes) => pes.kind === kind && pes.from > after.offset && pes.pts !== undefined)
      .map((pes) => ({ offset: pes.from, startNs: ticksToNs(unwrap(pes.pts ?? 0, near)) }))
      .findLast((unit) => unit.startNs > after.startNs && unit.startNs <= untilNs);
  return latest('h264') ?? latest('aac');
}

/** The piece's bytes, with tables in front where it needs them. @throws OutputError */
export async function readPieces(pieces: readonly Piece[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (const { chunk, from, to, tables } of pieces) {
    const data = await readChunk(chunk);
    if (tables) {
      parts.push(data.subarray(tables.pat, tables.pat + TS_PACKET));
      parts.push(data.subarray(tables.pmt, tables.pmt + TS_PACKET));
    }
    parts.push(data.subarray(from, to));
  }
  return Buffer.concat(parts);
}

/** Bytes {@link readPieces} will answer. */
export function piecesBytes(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { from, to, tables }) => sum + to - from + (tables ? 2 * TS_PACKET : 0), 0);
}
