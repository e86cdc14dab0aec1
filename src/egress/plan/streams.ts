/** Streams at their own quality, and what streams ask of the rest of a plan. Pure. */
import { RENDITION_FDS } from '../../../pipelines/shared/protocol.ts';
import type { Rendition } from '../../../pipelines/shared/protocol.ts';
import type { EgressPlan, StreamOutput } from './types.ts';
import { invalid } from '../request/errors.ts';
import type { EgressOptions } from '../request/options.ts';

type Wish = NonNullable<EgressOptions['streams']>[number];

/** How much of its bitrate a picture keeps when it gets smaller: detail goes more slowly than area. */
const BITRATE_EXPONENT = 0.75;
const MIN_BITRATE = 100;

const even = (pixels: number): number => 2 * Math.round(pixels / 2);

/** What a wish leaves open follows the main picture. */
function qualityOf(wish: Wish, main: Rendition): Rendition {
  const { width, height, video_bitrate: bitrate } = wish;
  const size = {
    width: width ?? (height === undefined ? main.width : even((height * main.width) / main.height)),
    height: height ?? (width === undefined ? main.height : even((width * main.height) / main.width)),
  };
  const area = (size.width * size.height) / (main.width * main.height);
  return {
    ...size,
    bitrate: bitrate ?? Math.max(MIN_BITRATE, Math.round(main.bitrate * area ** BITRATE_EXPONENT)),
  };
}

const same = (a: Rendition, b: Rendition): boolean =>
  a.width === b.width && a.height === b.height && a.bitrate === b.bitrate;

/**
 * The plan with the qualities its options ask for: one main picture and the renditions of it. When nothing but streams
 * with a quality of their own takes the main picture, it becomes the largest of them.
 * @throws RequestError for a URL that is no stream of the request, a picture larger than the main one, or too many
 */
export function withStreamQualities(plan: EgressPlan): EgressPlan {
  const wishes = plan.options.streams ?? [];
  if (wishes.length === 0) return plan;
  const output = plan.outputs.find((each): each is StreamOutput => each.type === 'stream');
  const { video } = plan;
  if (!video) throw invalid('options.streams', 'there is no picture to make smaller');
  for (const [index, { url }] of wishes.entries()) {
    if (!output?.urls.includes(url))
      throw invalid(`options.streams.${index}.url`, 'it is not among the URLs of the stream output');
    if (wishes.findIndex((other) => other.url === url) !== index)
      throw invalid(`options.streams.${index}.url`, 'it has a quality already');
  }
  const mainIsTaken =
    plan.outputs.some(({ type }) => type !== 'stream') ||
    output?.urls.some((url) => !wishes.some((wish) => wish.url === url));
  const asked = wishes.map((wish) => ({ wish, quality: qualityOf(wish, video) }));
  const area = ({ quality }: { quality: Rendition }): number => quality.width * quality.height;
  const largest = asked.reduce((most, each) => (area(each) > area(most) ? each : most)).quality;
  const main = mainIsTaken ? video : largest;
  const renditions: Rendition[] = [];
  const qualities: Record<string, number> = {};
  for (const [index, { wish, quality }] of asked.entries()) {
    if (quality.width > main.width || quality.height > main.height) {
      throw invalid(
        `options.streams.${index}`,
        `${quality.width}x${quality.height} is larger than the picture, ${main.width}x${main.height}: ` +
          'ask for a larger one by preset or advanced',
      );
    }
    if (same(quality, main)) continue;
    const known = renditions.findIndex((other) => same(other, quality));
    qualities[wish.url] = known >= 0 ? known : renditions.push(quality) - 1;
  }
  if (renditions.length > RENDITION_FDS.length) {
    throw invalid(
      'options.streams',
      `${renditions.length + 1} qualities are too many; at most ${RENDITION_FDS.length + 1} are encoded at once`,
    );
  }
  return {
    ...plan,
    // What is copied cannot be made smaller.
    choice: { program: 'composite' },
    video: { ...video, width: main.width, height: main.height, bitrate: main.bitrate },
    outputs: plan.outputs.map((each) => (each === output ? { ...each, qualities } : each)),
    renditions,
  };
}

/** @throws RequestError for a WebSocket beside what is not sound */
export function checkWebSockets({ outputs, video }: EgressPlan): void {
  if (video && outputs.some((output) => output.type === 'stream' && output.protocol === 'websocket')) {
    throw invalid('protocol', 'a WebSocket takes sound alone: leave the picture out (audio_only)');
  }
}
