/** What a request may ask of images and storyboards. */
import {
  EncodedFileOutput,
  ImageFileSuffix,
  ImageOutput,
  RoomCompositeEgressRequest,
} from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { withOutput } from '../../src/egress/added-outputs.ts';
import { planEgress } from '../../src/egress/plan/plan.ts';
import { imagePrefix } from '../../src/egress/filename.ts';

const plan = (
  request: ConstructorParameters<typeof RoomCompositeEgressRequest>[0],
  options: Parameters<typeof planEgress>[1]['options'] = {},
) =>
  planEgress(new RoomCompositeEgressRequest({ roomName: 'room', ...request }), { egressId: 'EG_1', options });

describe('images outputs', () => {
  it("have LiveKit's defaults, and may be the only ones", () => {
    const { outputs } = plan({ imageOutputs: [new ImageOutput()] });
    expect(outputs).toEqual([
      {
        ...{ type: 'images', captureInterval: 10, width: 0, height: 0, filenamePrefix: '', suffix: 'index' },
        ...{ disableManifest: false, storage: 0 },
      },
    ]);
  });

  it('cost as little as they show where nothing else is made of a room', () => {
    const imageOutputs = [new ImageOutput()];
    const alone = plan({ imageOutputs });
    expect(alone).toMatchObject({ audio: null, source: { videoOnly: true } });
    expect(alone.video).toMatchObject({ width: 1280, height: 720, framerate: 2, keyFrameInterval: 0.5 });
    const beside = plan({ imageOutputs, fileOutputs: [new EncodedFileOutput()] });
    expect(beside.audio).not.toBeNull();
    expect(beside.video).toMatchObject({ framerate: 30 });
    const file = { outputId: 'OU_1', type: 'file' as const, json: '{}', fromMs: 1 };
    expect(() => withOutput(alone, file)).toThrow(/images alone/);
    expect(
      withOutput(alone, { ...file, type: 'images', json: '{"filenamePrefix":"b"}' }).outputs,
    ).toHaveLength(2);
    expect(withOutput(beside, { ...file, json: '{"filepath":"b"}' }).outputs).toHaveLength(3);
  });

  it('keep what is asked, several at once', () => {
    const { outputs } = plan({
      imageOutputs: [
        new ImageOutput({ filenamePrefix: 'a', captureInterval: 1, width: 320 }),
        new ImageOutput({
          ...{ filenamePrefix: 'b', disableManifest: true },
          filenameSuffix: ImageFileSuffix.IMAGE_SUFFIX_NONE_OVERWRITE,
        }),
      ],
    });
    expect(outputs).toMatchObject([
      { captureInterval: 1, width: 320, height: 0 },
      { suffix: 'none', disableManifest: true },
    ]);
  });

  it('are refused by name when they cannot be', () => {
    const two = [new ImageOutput({ filenamePrefix: 'a' }), new ImageOutput({ filenamePrefix: 'a' })];
    expect(() => plan({ imageOutputs: two })).toThrow(/image_outputs.filename_prefix/);
    expect(() => plan({ imageOutputs: [new ImageOutput()], audioOnly: true })).toThrow(/image_outputs/);
    expect(() => plan({ imageOutputs: [new ImageOutput({ width: -1 })] })).toThrow(/width/);
    expect(() => plan({ imageOutputs: [new ImageOutput({ imageCodec: 7 as never })] })).toThrow(
      /image_codec/,
    );
  });

  it('are named after their prefix, the room or the folder', () => {
    const values = {
      roomName: 'room',
      roomId: 'RM_1',
      createdAtMs: Date.UTC(2026, 0, 2),
      identifier: 'room',
    };
    expect(imagePrefix('a/{room_name}', values)).toBe('a/room');
    expect(imagePrefix('a/', values)).toBe('a/room-2026-01-02T000000');
    expect(imagePrefix('', values)).toBe('room-2026-01-02T000000');
    expect(imagePrefix('../a/b.jpeg', values)).toBe('a/b');
  });
});

describe('a storyboard', () => {
  const file = { fileOutputs: [{ filepath: 'a' }] };

  it('goes beside a file with a picture only', () => {
    expect(plan(file, { storyboard: true }).options.storyboard).toBe(true);
    expect(() => plan({ ...file, audioOnly: true }, { storyboard: true })).toThrow(/options.storyboard/);
    expect(() => plan({ imageOutputs: [new ImageOutput()] }, { storyboard: {} })).toThrow(
      /options.storyboard/,
    );
    expect(() => plan({ imageOutputs: [new ImageOutput()] }, { storyboard: false })).not.toThrow();
  });
});
