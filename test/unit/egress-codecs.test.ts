/** Kinds of files and codecs: what a request leaves open is decided, and what cannot go together is refused. */
import {
  AudioCodec,
  EncodedFileOutput,
  EncodedFileType,
  EncodingOptions,
  RoomCompositeEgressRequest,
  SegmentedFileOutput,
  StreamOutput,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  DirectFileOutput,
  VideoCodec,
} from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { containerFor } from '../../src/egress/plan/codecs.ts';
import { planEgress } from '../../src/egress/plan/plan.ts';
import type { EgressPlan } from '../../src/egress/plan/types.ts';
import { initialInfo } from '../../src/egress/info.ts';
import { RequestError } from '../../src/egress/request/errors.ts';
import type { EgressOptions } from '../../src/egress/request/options.ts';

const { DEFAULT_FILETYPE, MP4, OGG, MP3 } = EncodedFileType;
const egressId = 'EG_abc';

interface Wish {
  sound?: boolean;
  /** Of the file; none without it. */
  file?: [fileType: EncodedFileType, filepath: string];
  segments?: boolean;
  stream?: boolean;
  encoding?: ConstructorParameters<typeof EncodingOptions>[0];
  options?: EgressOptions;
}

function request({ sound = false, file, segments, stream, encoding }: Wish): RoomCompositeEgressRequest {
  return new RoomCompositeEgressRequest({
    roomName: 'demo',
    audioOnly: sound,
    fileOutputs: file ? [new EncodedFileOutput({ fileType: file[0], filepath: file[1] })] : [],
    segmentOutputs: segments ? [new SegmentedFileOutput({ playlistName: 'a.m3u8', segmentDuration: 7 })] : [],
    streamOutputs: stream ? [new StreamOutput({ urls: ['rtmp://example.org/live/key'] })] : [],
    ...(encoding && { options: { case: 'advanced', value: new EncodingOptions(encoding) } }),
  });
}

const plan = (wish: Wish): EgressPlan =>
  planEgress(request(wish), { egressId, ...(wish.options && { options: wish.options }) });

function kindOf({ outputs }: EgressPlan): string | undefined {
  return outputs.flatMap((output) => (output.type === 'file' ? [output.fileType] : []))[0];
}

describe('a file', () => {
  it.each<[string, Wish, string, string | undefined, string | undefined]>([
    ['nothing said', { file: [DEFAULT_FILETYPE, ''] }, 'mp4', 'h264', 'aac'],
    ['sound alone', { sound: true, file: [DEFAULT_FILETYPE, ''] }, 'ogg', undefined, 'opus'],
    ['sound called MP4', { sound: true, file: [DEFAULT_FILETYPE, 'a.mp4'] }, 'mp4', undefined, 'aac'],
    ['sound called MP3', { sound: true, file: [DEFAULT_FILETYPE, 'a.mp3'] }, 'mp3', undefined, 'mp3'],
    ['sound that is MP3', { sound: true, file: [MP3, 'a.ogg'] }, 'mp3', undefined, 'mp3'],
    ['sound that is OGG', { sound: true, file: [OGG, ''] }, 'ogg', undefined, 'opus'],
    ['a picture called WebM', { file: [DEFAULT_FILETYPE, 'a.webm'] }, 'webm', 'vp8', 'opus'],
    ['a picture called OGG', { file: [DEFAULT_FILETYPE, 'a.ogg'] }, 'mp4', 'h264', 'aac'],
    [
      'VP8',
      { file: [DEFAULT_FILETYPE, ''], encoding: { videoCodec: VideoCodec.VP8 } },
      ...(['webm', 'vp8', 'opus'] as const),
    ],
    ['VP9', { file: [DEFAULT_FILETYPE, ''], options: { video_codec: 'vp9' } }, 'webm', 'vp9', 'opus'],
    [
      'MP4 with Opus',
      { file: [MP4, ''], encoding: { audioCodec: AudioCodec.OPUS } },
      ...(['mp4', 'h264', 'opus'] as const),
    ],
    [
      'H264 called WebM',
      { file: [DEFAULT_FILETYPE, 'a.webm'], encoding: { videoCodec: VideoCodec.H264_HIGH } },
      ...(['mp4', 'h264', 'aac'] as const),
    ],
    ['OGG beside a stream', { sound: true, file: [OGG, ''], stream: true }, 'ogg', undefined, 'aac'],
    [
      'sound beside segments',
      { sound: true, file: [DEFAULT_FILETYPE, ''], segments: true },
      ...(['mp4', undefined, 'aac'] as const),
    ],
  ])('%s', (_, wish, kind, video, audio) => {
    const made = plan(wish);
    expect(kindOf(made)).toBe(kind);
    expect(made.video?.codec).toBe(video);
    expect(made.audio?.codec).toBe(audio);
    expect(containerFor(made)).toBe(
      (video ?? 'h264') === 'h264' && (audio ?? 'aac') === 'aac' ? 'mpegts' : 'matroska',
    );
    const info = initialInfo(request(wish), made, { roomId: 'RM_1', createdAtMs: 0 });
    expect(info.fileResults[0]?.filename).toMatch(new RegExp(`\\.${kind}$`));
  });

  it("of a track's own kind is decided when the track is seen; sound that cannot be copied becomes Opus", () => {
    const track = new TrackEgressRequest({
      ...{ roomName: 'demo', trackId: 'TR_1' },
      output: { case: 'file', value: new DirectFileOutput({ filepath: 'a.mp4' }) },
    });
    const sound = planEgress(track, { egressId, trackKind: 'audio' });
    expect([kindOf(sound), sound.audio?.codec, sound.audio?.frequency]).toEqual(['auto', 'opus', 48_000]);
    expect(kindOf(planEgress(track, { egressId, trackKind: 'video' }))).toBe('auto');
  });

  it('of named tracks is copied unless a codec is asked for', () => {
    const tracks = new TrackCompositeEgressRequest({
      ...{ roomName: 'demo', videoTrackId: 'TR_1' },
      fileOutputs: [new EncodedFileOutput({ filepath: 'a.webm' })],
    });
    expect(planEgress(tracks, { egressId }).choice.program).toBe('auto');
    const asked = planEgress(tracks, { egressId, options: { video_codec: 'vp9' } });
    expect([asked.choice.program, asked.video?.codec]).toEqual(['composite', 'vp9']);
  });
});

describe('the sound', () => {
  const sound = (fileType: EncodedFileType, encoding: Wish['encoding'] = {}) =>
    plan({ sound: true, file: [fileType, ''], encoding }).audio;

  it('has the rates its codec knows', () => {
    expect(sound(OGG)).toMatchObject({ codec: 'opus', frequency: 48_000, bitrate: 128 });
    expect(sound(OGG, { audioFrequency: 16_000, audioBitrate: 24 })).toMatchObject({
      ...{ codec: 'opus', frequency: 16_000, bitrate: 24 },
    });
    expect(sound(MP3)).toMatchObject({ codec: 'mp3', frequency: 44_100, bitrate: 128 });
    expect(sound(MP3, { audioFrequency: 22_050, audioBitrate: 64 })).toMatchObject({ bitrate: 64 });
    expect(sound(MP4, { audioFrequency: 8000, audioBitrate: 16 })).toMatchObject({ codec: 'aac' });
  });
});

describe('refused by its name', () => {
  it.each<[string, Wish, RegExp]>([
    ['a picture in MP3', { file: [MP3, ''] }, /file_type.*MP3 holds no picture/],
    [
      'AAC in OGG',
      { sound: true, file: [OGG, ''], encoding: { audioCodec: AudioCodec.AAC } },
      /audio_codec.*AAC.*OGG.*OPUS/,
    ],
    [
      'AAC in WebM',
      { file: [DEFAULT_FILETYPE, ''], encoding: { videoCodec: VideoCodec.VP8, audioCodec: AudioCodec.AAC } },
      /audio_codec.*AAC.*WebM/,
    ],
    ['VP8 in MP4', { file: [MP4, ''], encoding: { videoCodec: VideoCodec.VP8 } }, /video_codec.*VP8.*MP4/],
    ['VP9 in MP4', { file: [MP4, ''], options: { video_codec: 'vp9' } }, /VP9.*MP4/],
    ['VP8 in segments', { segments: true, encoding: { videoCodec: VideoCodec.VP8 } }, /video_codec.*VP8/],
    ['Opus in a stream', { stream: true, encoding: { audioCodec: AudioCodec.OPUS } }, /audio_codec.*OPUS/],
    [
      'two answers',
      {
        file: [DEFAULT_FILETYPE, ''],
        encoding: { videoCodec: VideoCodec.VP8 },
        options: { video_codec: 'vp9' },
      },
      /options.video_codec/,
    ],
    [
      'Opus of 44.1 kHz',
      { sound: true, file: [OGG, ''], encoding: { audioFrequency: 44_100 } },
      /audio_frequency.*44100.*48000/,
    ],
    [
      'MP3 of 100 kbit/s',
      { sound: true, file: [MP3, ''], encoding: { audioBitrate: 100 } },
      /audio_bitrate.*100.*96, 112/,
    ],
    [
      'MP3 of 22 kHz and 320 kbit/s',
      { sound: true, file: [MP3, ''], encoding: { audioFrequency: 22_050, audioBitrate: 320 } },
      /audio_bitrate.*22050.*160/,
    ],
  ])('%s', (_, wish, message) => {
    expect(() => plan(wish)).toThrow(RequestError);
    expect(() => plan(wish)).toThrow(message);
  });
});

describe('keyframes', () => {
  it.each([
    // 7 s: 210 frames at 30 fps; the fewest parts of at most 2 s are five of 42 frames.
    [30, 0, 42],
    [30, 1, 30],
    [25, 0, 35],
    [29, 0, 29],
    [60, 0, 105],
    // 0.3 s are more than three frames, and less than four.
    [12, 0.3, 3],
  ])(
    'at %i fps, asked for every %i s, make segments of 7 s exactly',
    (framerate, keyFrameInterval, frames) => {
      const { video } = plan({ segments: true, encoding: { framerate, keyFrameInterval } });
      expect((video?.keyFrameInterval ?? 0) * framerate).toBeCloseTo(frames, 6);
      expect((7 * framerate) % frames).toBe(0);
    },
  );
});
