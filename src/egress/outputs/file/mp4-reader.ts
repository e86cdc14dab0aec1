/** Counts what a finished MP4 holds out of its index (ISO/IEC 14496-12): no packet is read. */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { OutputError } from '../errors.ts';

export interface Mp4Track {
  type: 'video' | 'audio' | 'other';
  /** stsz's count. */
  samples: number;
  /** mdhd's, ns. */
  durationNs: number;
}

export interface Mp4Summary {
  /** mvhd's, ns. */
  durationNs: number;
  tracks: Mp4Track[];
  /** The index stands in front of the media. */
  fastStart: boolean;
}

/** An index larger than this is none of ours, bytes (a day at 60 frames a second needs about 100 MB). */
const MAX_INDEX = 512 * 1024 * 1024;

/** @throws OutputError when the file has no readable index */
export async function readMp4(path: string): Promise<Mp4Summary> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    let seenMedia = false;
    for (let at = 0; at + 8 <= size;) {
      const box = await readBoxHeader(file, at, size);
      if (!box) break;
      if (box.type === 'mdat') seenMedia = true;
      if (box.type === 'moov' && box.to - box.content <= MAX_INDEX) {
        const data = Buffer.alloc(box.to - box.content);
        const { bytesRead } = await file.read(data, 0, data.length, box.content);
        if (bytesRead === data.length) return { ...summarise(data), fastStart: !seenMedia };
      }
      at = box.to;
    }
    throw new OutputError('damaged', `${path} has no MP4 index`);
  } finally {
    await file.close();
  }
}

interface Box {
  type: string;
  content: number;
  to: number;
}

async function readBoxHeader(file: FileHandle, at: number, size: number): Promise<Box | undefined> {
  const header = Buffer.alloc(16);
  const { bytesRead } = await file.read(header, 0, 16, at);
  const box = boxAt(header.subarray(0, bytesRead), 0, size - at);
  return box && { type: box.type, content: at + box.content, to: at + box.to };
}

function boxAt(data: Buffer, at: number, available: number): Box | undefined {
  if (at + 8 > data.length) return undefined;
  let length = data.readUInt32BE(at);
  let content = at + 8;
  if (length === 1) {
    if (at + 16 > data.length) return undefined;
    length = Number(data.readBigUInt64BE(at + 8));
    content = at + 16;
  } else if (length === 0) {
    length = available - at;
  }
  const to = at + length;
  return to < content || to > available
    ? undefined
    : { type: data.toString('latin1', at + 4, at + 8), content, to };
}

function* boxes(data: Buffer): Generator<{ type: string; data: Buffer }> {
  for (let at = 0; ;) {
    const box = boxAt(data, at, data.length);
    if (!box) return;
    yield { type: box.type, data: data.subarray(box.content, box.to) };
    at = box.to;
  }
}

function child(data: Buffer, ...path: string[]): Buffer | undefined {
  let found: Buffer | undefined = data;
  for (const type of path) {
    found = found && [...boxes(found)].find((box) => box.type === type)?.data;
  }
  return found;
}

function summarise(moov: Buffer): Omit<Mp4Summary, 'fastStart'> {
  const tracks = [...boxes(moov)].flatMap(({ type, data }): Mp4Track[] => {
    const media = type === 'trak' ? child(data, 'mdia') : undefined;
    if (!media) return [];
    const handler = child(media, 'hdlr')?.toString('latin1', 8, 12);
    const sizes = child(media, 'minf', 'stbl', 'stsz');
    return [
      {
        type: handler === 'vide' ? 'video' : handler === 'soun' ? 'audio' : 'other',
        samples: sizes && sizes.length >= 12 ? sizes.readUInt32BE(8) : 0,
        durationNs: headerDuration(child(media, 'mdhd')),
      },
    ];
  });
  return { durationNs: headerDuration(child(moov, 'mvhd')), tracks };
}

/** mvhd and mdhd begin alike: version, times, timescale, duration. */
function headerDuration(header: Buffer | undefined): number {
  if (!header) return 0;
  const long = header[0] === 1;
  if (header.length < (long ? 32 : 20)) return 0;
  const timescale = header.readUInt32BE(long ? 20 : 12);
  const duration = long ? Number(header.readBigUInt64BE(24)) : header.readUInt32BE(16);
  return timescale === 0 ? 0 : Math.round((duration / timescale) * 1e9);
}
