/** What the manifest of an egress says. */
import { describe, expect, it } from 'vitest';
import { manifestText } from '../../src/egress/manifest.ts';
import type { ManifestFacts } from '../../src/egress/manifest.ts';
import { chunkLine, EPOCH_MS } from '../support/log-fixtures.ts';

const facts = (change: Partial<ManifestFacts> = {}): ManifestFacts => ({
  plan: {
    ...{ egressId: 'EG_1', roomName: 'demo' },
    source: { type: 'tracks', audioTrackId: undefined, videoTrackId: 'TR_1' },
  },
  roomId: 'RM_1',
  epochMs: EPOCH_MS,
  tracks: [],
  log: { chunks: [], endNs: 20e9, gaps: [], events: [] },
  parts: [],
  ...change,
});

const read = (change?: Partial<ManifestFacts>): unknown => JSON.parse(manifestText(facts(change)));

describe('the manifest', () => {
  it('names what is stored, of every output', () => {
    const place = (filename: string) => ({ filename, location: `/srv/${filename}` });
    const common = { storage: 0, folder: '', disabled: false };
    const found = read({
      parts: [
        { ...common, files: [{ ...place('a.mp4'), bytes: 7, startNs: 1.5e9, durationNs: 3e9 }] },
        // A manifest beside this output is not wanted; what it has stored is told all the same.
        { ...common, disabled: true, playlists: [{ location: '/srv/a.m3u8', segments: [place('a_0.ts')] }] },
        { ...common, images: [{ ...place('i.jpeg'), wallMs: EPOCH_MS + 250 }] },
      ],
    });
    expect(found).toEqual({
      ...{ egress_id: 'EG_1', room_id: 'RM_1', room_name: 'demo', track_id: 'TR_1', track_kind: 'video' },
      ...{ started_at: (EPOCH_MS + 1500) * 1e6, ended_at: (EPOCH_MS + 20_000) * 1e6, segment_count: 1 },
      files: [{ ...place('a.mp4'), size: 7, started_at: (EPOCH_MS + 1500) * 1e6, duration: 3e9 }],
      playlists: [{ location: '/srv/a.m3u8', segments: [place('a_0.ts')] }],
      images: [{ ...place('i.jpeg'), timestamp: '2026-01-31T12:00:00.250Z' }],
      clock_started_at: '2026-01-31T12:00:00.000Z',
    });
  });

  it('begins with what was recorded where no file was made of it', () => {
    const { log } = facts();
    const ended = { ended_at: (EPOCH_MS + 20_000) * 1e6 };
    const chunks = [chunkLine(1.5, 2), chunkLine(3.5, 2)];
    expect(read({ log: { ...log, chunks } })).toMatchObject({
      ...{ started_at: (EPOCH_MS + 1500) * 1e6, ...ended },
    });
    expect(read()).toMatchObject({ started_at: EPOCH_MS * 1e6, ...ended });
  });

  it('tells of gaps and markers', () => {
    const found = read({
      log: {
        chunks: [],
        endNs: 20e9,
        gaps: [{ type: 'gap', startNs: 4e9, endNs: 5.5e9, reason: 'paused' }],
        events: [
          { type: 'event', name: 'mute', atNs: 1e9, wallMs: EPOCH_MS },
          { type: 'event', name: 'marker', atNs: 2e9, wallMs: EPOCH_MS, data: { id: 'm', label: 'goal' } },
        ],
      },
    });
    expect(found).toMatchObject({
      gaps: [{ from_seconds: 4, to_seconds: 5.5, reason: 'paused' }],
      markers: [{ id: 'm', label: 'goal', at_seconds: 2, time: '2026-01-31T12:00:02.000Z' }],
    });
  });

  it('shows the page of a web egress without what is secret in its URL', () => {
    const text = manifestText(
      facts({
        plan: {
          ...{ egressId: 'EG_1', roomName: '' },
          source: {
            ...{ type: 'web', url: 'https://u:hidden-1@page.example/a?token=hidden-2-hidden' },
            ...{ audioOnly: false, videoOnly: false, awaitStartSignal: false },
          },
        },
      }),
    );
    expect(JSON.parse(text)).toMatchObject({ url: expect.stringContaining('page.example') as unknown });
    expect(text).not.toMatch(/hidden-1|hidden-2-hidden/);
    expect(text).not.toContain('room_name');
  });
});
