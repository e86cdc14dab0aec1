import { describe, expect, it } from 'vitest';
import { NameConflict, fileName, segmentNames, templateProblem } from '../../src/egress/filename.ts';
import type { NameValues } from '../../src/egress/filename.ts';

const values: NameValues = {
  roomName: 'testroom',
  roomId: 'RM_abc',
  createdAtMs: Date.UTC(2022, 9, 4, 1, 13, 6, 78),
  identifier: 'testroom',
};
const track: NameValues = {
  ...values,
  identifier: 'TR_SKasdXCVgHsei',
  publisherIdentity: 'david',
  track: { id: 'TR_SKasdXCVgHsei', kind: 'audio', source: 'microphone' },
};

describe('fileName', () => {
  // The first five are livekit/egress's own examples.
  it.each([
    ['', values, '.mp4', 'testroom-2022-10-04T011306.mp4'],
    ['livekit-recordings/', values, '.mp4', 'livekit-recordings/testroom-2022-10-04T011306.mp4'],
    ['{room_name}/{time}', values, '.mp4', 'testroom/2022-10-04T011306.mp4'],
    ['{room_id}-{publisher_identity}.mp4', track, '.mp4', 'RM_abc-david.mp4'],
    ['{track_type}-{track_source}-{track_id}', track, '.ogg', 'audio-microphone-TR_SKasdXCVgHsei.ogg'],
    ['', track, '.ogg', 'TR_SKasdXCVgHsei-2022-10-04T011306.ogg'],
    ['{utc}', values, '.mp4', '20221004011306078.mp4'],
    ['a-{retry}', values, '.mp4', 'a-0.mp4'],
    ['a-{retry}', { ...values, retryCount: 2 }, '.mp4', 'a-2.mp4'],
    ['', { ...values, retryCount: 2 }, '.mp4', 'testroom-2022-10-04T011306-2.mp4'],
    ['a.mp4', values, '.mp4', 'a.mp4'],
    ['a.webm', values, '.mp4', 'a.mp4'],
    ['a.v2', values, '.mp4', 'a.v2.mp4'],
    ['a.b/c', values, '.mp4', 'a.b/c.mp4'],
    ['{unknown}-{track_id}', values, '.mp4', '{unknown}-{track_id}.mp4'],
    ['.mp4', values, '.mp4', 'testroom-2022-10-04T011306.mp4'],
  ])('%j -> %j', (template, with_, extension, expected) => {
    expect(fileName(template, with_, extension)).toBe(expected);
  });

  it.each([
    ['../../etc/passwd', 'etc/passwd.mp4'],
    ['/etc/passwd', 'etc/passwd.mp4'],
    ['a/../../../b', 'b.mp4'],
    ['a/./b//c', 'a/b/c.mp4'],
    ['..\\..\\b', 'b.mp4'],
    ['..', 'testroom-2022-10-04T011306.mp4'],
    ['../', 'testroom-2022-10-04T011306.mp4'],
    ['./', 'testroom-2022-10-04T011306.mp4'],
    ['...', '....mp4'],
  ])('%j stays inside: %j', (template, expected) => {
    expect(fileName(template, values, '.mp4')).toBe(expected);
  });

  it.each([
    ['../../x', '.._.._x'],
    ['..', '__'],
    ['.', '_'],
    ['a/b\\c', 'a_b_c'],
    ['a\u0000b\nc', 'a_b_c'],
    ['{time}', '{time}'],
    ['$&$1', '$&$1'],
  ])('a room called %j makes no folder of its own', (roomName, expected) => {
    expect(fileName('{room_name}/x', { ...values, roomName }, '.mp4')).toBe(`${expected}/x.mp4`);
    const named = fileName('', { ...values, roomName, identifier: roomName }, '.mp4');
    expect(named).toBe(`${expected}-2022-10-04T011306.mp4`);
  });

  it('a part composed over two placeholders is still no way out', () => {
    const dots = { ...values, roomName: '.', roomId: '.' };
    expect(fileName('{room_name}{room_id}/x', dots, '.mp4')).toBe('__/x.mp4');
    expect(
      fileName('.{track_id}/x', { ...values, track: { id: '.', kind: 'audio', source: '' } }, '.mp4'),
    ).toBe('._/x.mp4');
  });

  it('is cut to what a file system takes, at a character, and keeps its extension', () => {
    const name = fileName('{room_name}', { ...values, roomName: 'é'.repeat(256) }, '.mp4');
    expect(name).toBe(`${'é'.repeat(100)}.mp4`);
    const folder = fileName('{room_name}/x', { ...values, roomName: '💧'.repeat(200) }, '.mp4');
    expect(folder).toBe(`${'💧'.repeat(50)}/x.mp4`);
  });

  it('resolving a resolved name changes nothing', () => {
    const once = fileName('r/{room_name}-{utc}', values, '.mp4');
    expect(fileName(once, { ...values, createdAtMs: 0 }, '.mp4')).toBe(once);
  });
});

describe('templateProblem', () => {
  it.each([
    ['a/b-{room_name}.mp4', undefined],
    ['', undefined],
    ['a\u0000b', 'control character'],
    ['a\nb', 'control character'],
    ['x'.repeat(201), 'longer than 200 bytes'],
    ['abcdefgh/'.repeat(101), 'longer than 900 bytes'],
  ])('%j', (template, problem) => {
    if (problem === undefined) expect(templateProblem(template)).toBeUndefined();
    else expect(templateProblem(template)).toContain(problem);
  });
});

describe('segmentNames', () => {
  const names = (filenamePrefix: string, playlistName: string, livePlaylistName = '') =>
    segmentNames({ filenamePrefix, playlistName, livePlaylistName }, values);

  it.each([
    [
      '',
      '',
      '',
      {
        dir: '',
        playlist: 'testroom-2022-10-04T011306.m3u8',
        livePlaylist: undefined,
        segmentPrefix: 'testroom-2022-10-04T011306',
      },
    ],
    ['seg', '', '', { dir: '', playlist: 'seg.m3u8', livePlaylist: undefined, segmentPrefix: 'seg' }],
    ['', 'show.m3u8', '', { dir: '', playlist: 'show.m3u8', livePlaylist: undefined, segmentPrefix: 'show' }],
    [
      'seg',
      'show',
      'live',
      { dir: '', playlist: 'show.m3u8', livePlaylist: 'live.m3u8', segmentPrefix: 'seg' },
    ],
    [
      'out/seg',
      'show.m3u8',
      'live.m3u8',
      { dir: 'out/', playlist: 'show.m3u8', livePlaylist: 'live.m3u8', segmentPrefix: 'seg' },
    ],
    [
      'out/seg',
      'out/show',
      '',
      { dir: 'out/', playlist: 'show.m3u8', livePlaylist: undefined, segmentPrefix: 'seg' },
    ],
    [
      'parts/seg',
      'out/show',
      'out/live',
      { dir: 'out/', playlist: 'show.m3u8', livePlaylist: 'live.m3u8', segmentPrefix: 'parts/seg' },
    ],
    [
      'out/',
      'out/',
      '',
      {
        dir: 'out/',
        playlist: 'testroom-2022-10-04T011306.m3u8',
        livePlaylist: undefined,
        segmentPrefix: 'testroom-2022-10-04T011306',
      },
    ],
    [
      '{room_name}/{time}',
      '',
      '',
      {
        dir: 'testroom/',
        playlist: '2022-10-04T011306.m3u8',
        livePlaylist: undefined,
        segmentPrefix: '2022-10-04T011306',
      },
    ],
    [
      '../../seg',
      '/show',
      '',
      { dir: '', playlist: 'show.m3u8', livePlaylist: undefined, segmentPrefix: 'seg' },
    ],
    [
      '',
      'show.v2',
      '',
      { dir: '', playlist: 'show.v2.m3u8', livePlaylist: undefined, segmentPrefix: 'show.v2' },
    ],
  ])('prefix %j, playlist %j, live %j', (prefix, playlist, live, expected) => {
    expect(names(prefix, playlist, live)).toEqual(expected);
  });

  it.each([
    ['', 'a/show', 'b/live', 'same directory'],
    ['', 'show', 'show.m3u8', 'identical'],
    ['live', '', 'live', 'identical'],
  ])('refuses prefix %j, playlist %j, live %j', (prefix, playlist, live, message) => {
    expect(() => names(prefix, playlist, live)).toThrow(NameConflict);
    expect(() => names(prefix, playlist, live)).toThrow(message);
  });
});
