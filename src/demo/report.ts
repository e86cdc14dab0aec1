/** What the demo has made, looked at and listened to, as the rows of a table. */
import { stat } from 'node:fs/promises';
import type { EgressInfo } from '@livekit/protocol';
import type { ColorName } from '../../pipelines/publisher/signal.ts';
import { gridLayout } from '../egress/composition/layout.ts';
import { analyse, fitPicture } from './content/analyse.ts';
import type { ContentReport, TileSpec } from './content/analyse.ts';

/** The composite's default size. */
const CANVAS = { width: 1280, height: 720 };
/** Until the first keyframes have come, the tiles are black. */
const SETTLED_SECONDS = 2;

export interface ReportOptions {
  info: EgressInfo;
  /** Of the broadcast; empty when it cannot be watched from here. */
  hlsUrl: string;
  /** What the RTMP receiver has kept. */
  rtmpFile: string;
  /** In the order of the grid. */
  callers: readonly { identity: string; color: ColorName }[];
}

/** Where each caller's picture is in the recording. */
function tilesOf(callers: ReportOptions['callers']): TileSpec[] {
  const tiles = gridLayout(
    callers.map(({ identity }) => identity),
    CANVAS,
  );
  return callers.flatMap(({ identity, color }, index) => {
    const tile = tiles[index];
    if (!tile) return [];
    return [{ name: identity, color, region: fitPicture(tile, 16, 9), from: SETTLED_SECONDS }];
  });
}

function describe(report: ContentReport): string[] {
  const { duration, video, audio, tiles } = report;
  const frames = tiles.map(({ name, share }) => `${name} ${(share * 100).toFixed(1)} %`).join(', ');
  const offset = Math.max(...tiles.map(({ avOffset }) => avOffset.p95));
  return [
    `${duration.toFixed(1)} s`,
    video ? `${video.width}×${video.height} @ ${video.fps.toFixed(0)}` : '—',
    [video?.codec, audio?.codec].filter(Boolean).join(' + '),
    frames,
    Number.isFinite(offset) ? `${offset.toFixed(0)} ms` : '—',
  ];
}

/** @returns rows, the heading first */
export async function reportOn({ info, hlsUrl, rtmpFile, callers }: ReportOptions): Promise<string[][]> {
  const tiles = tilesOf(callers);
  const outputs: [string, string][] = [
    ['MP4', info.fileResults[0]?.location ?? ''],
    ['HLS', hlsUrl || (info.segmentResults[0]?.playlistLocation ?? '')],
    ['RTMP', rtmpFile],
  ];
  const rows = [['', 'length', 'picture', 'codecs', 'frames seen', 'A/V offset p95', 'where']];
  for (const [name, where] of outputs) {
    rows.push([name, ...(await look(where, tiles)), where]);
  }
  return rows;
}

async function look(where: string, tiles: TileSpec[]): Promise<string[]> {
  const missing = where === '' || (!where.includes('://') && !(await stat(where).catch(() => undefined)));
  if (missing) return ['missing', '', '', '', ''];
  return describe(await analyse(where, { tiles }));
}
