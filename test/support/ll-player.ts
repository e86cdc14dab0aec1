/** hls.js in low-latency mode in a page: what it shows, when, and what it sounds like. */
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { readTile } from '../../src/demo/content/tile.ts';

const HLS_JS = fileURLToPath(new URL('../../node_modules/hls.js/dist/hls.min.js', import.meta.url));

/** Pictures are looked at in this size: enough for the frame counter of a whole picture. */
const SIZE = { width: 320, height: 180 };

export interface ShownPicture {
  /** Frame counter of the publisher; null where it cannot be read. */
  counter: number | null;
  /** Wall clock when the browser showed it, ms. */
  atMs: number;
}

export interface LowLatencyState {
  /** hls.js's own idea of how far behind the live edge it is, s. */
  latency: number;
  targetLatency: number | null;
  lowLatency: boolean;
  parts: number;
  fatal: string[];
  errors: string[];
  /** Of the sound, over the last second: loudest and quietest moment (RMS), and the pitch of the loudest, Hz. */
  loudest: number;
  quietest: number;
  pitch: number;
}

interface World {
  Hls: {
    new (config: object): Player;
    Events: { ERROR: string; FRAG_LOADED: string };
  };
  player: Player;
  pictures: { atMs: number; luma: string }[];
  state: LowLatencyState;
  document: { querySelector(of: string): Video; createElement(of: string): Canvas };
  AudioContext: new () => AudioGraph;
}

interface Player {
  latency: number;
  targetLatency: number | null;
  latestLevelDetails?: { partList: unknown[] | null } | null;
  on(event: string, listener: (event: string, data: PlayerEvent) => void): void;
  loadSource(url: string): void;
  attachMedia(video: Video): void;
}

interface PlayerEvent {
  fatal?: boolean;
  details?: string;
  reason?: string;
  part?: object | null;
}

interface Video {
  requestVideoFrameCallback(callback: () => void): void;
}

interface Canvas {
  width: number;
  height: number;
  getContext(
    of: '2d',
    how: object,
  ): { drawImage(...what: unknown[]): void; getImageData(...of: number[]): { data: Uint8ClampedArray } };
}

interface AudioGraph {
  sampleRate: number;
  destination: unknown;
  createMediaElementSource(video: Video): { connect(to: unknown): void };
  createAnalyser(): {
    fftSize: number;
    connect(to: unknown): void;
    getFloatTimeDomainData(into: Float32Array): void;
  };
}

/** Begins to play `url` with sound, a little faster while it is further behind than it wants to be; every `each`th picture is kept. */
export async function playLowLatency(page: Page, origin: string, url: string, each = 6): Promise<void> {
  const path = `${origin}/hls-page`;
  const body = `<!doctype html><body style="margin:0"><video autoplay style="width:100vw"></video>`;
  await page.route(path, (route) => route.fulfill({ contentType: 'text/html', body }));
  await page.goto(path);
  await page.addScriptTag({ path: HLS_JS });
  await page.evaluate(
    ({ source, size, nth }) => {
      const world = globalThis as unknown as World;
      const player = new world.Hls({
        lowLatencyMode: true,
        maxLiveSyncPlaybackRate: 1.5,
        // A machine that is busy with tests makes it stall: no reason to stay a second behind for each time.
        liveSyncOnStallIncrease: 0,
      });
      const video = world.document.querySelector('video');
      const state = {
        ...{ latency: NaN, targetLatency: null, lowLatency: false, parts: 0 },
        ...{ fatal: [], errors: [], loudest: 0, quietest: 1, pitch: 0 },
      } as LowLatencyState;
      Object.assign(world, { player, state, pictures: [] });
      player.on(world.Hls.Events.ERROR, (_event, { fatal, details = '', reason = '' }) => {
        (fatal ? state.fatal : state.errors).push(`${details} ${reason}`.trim());
      });
      player.on(world.Hls.Events.FRAG_LOADED, (_event, { part }) => {
        if (part) state.parts++;
      });
      player.loadSource(source);
      player.attachMedia(video);

      const audio = new world.AudioContext();
      const analyser = audio.createAnalyser();
      analyser.fftSize = 2048;
      const input = audio.createMediaElementSource(video);
      input.connect(analyser);
      analyser.connect(audio.destination);
      const samples = new Float32Array(2048);
      let moments: { atMs: number; rms: number; pitch: number }[] = [];
      setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        let crossings = 0;
        let sum = 0;
        samples.forEach((sample, i) => {
          sum += sample * sample;
          if (i > 0 && samples[i - 1]! < 0 && sample >= 0) crossings++;
        });
        const atMs = Date.now();
        const pitch = (crossings * audio.sampleRate) / samples.length;
        moments = moments.filter((moment) => atMs - moment.atMs < 1500);
        moments.push({ atMs, rms: Math.sqrt(sum / samples.length), pitch });
        const sorted = moments.toSorted((a, b) => b.rms - a.rms);
        state.loudest = sorted[0]?.rms ?? 0;
        state.pitch = sorted[0]?.pitch ?? 0;
        state.quietest = sorted.at(-1)?.rms ?? 1;
      }, 40);

      const canvas = world.document.createElement('canvas');
      Object.assign(canvas, size);
      const context = canvas.getContext('2d', { willReadFrequently: true });
      let count = 0;
      const onFrame = () => {
        const atMs = Date.now();
        if (count++ % nth === 0) {
          context.drawImage(video, 0, 0, size.width, size.height);
          const { data } = context.getImageData(0, 0, size.width, size.height);
          let luma = '';
          for (let i = 0; i < data.length; i += 4) {
            luma += String.fromCharCode(
              Math.round(0.2126 * data[i]! + 0.7152 * data[i + 1]! + 0.0722 * data[i + 2]!),
            );
          }
          world.pictures.push({ atMs, luma });
        }
        video.requestVideoFrameCallback(onFrame);
      };
      video.requestVideoFrameCallback(onFrame);
    },
    { source: url, size: SIZE, nth: each },
  );
}

/** The pictures shown since it was asked last. */
export async function shownPictures(page: Page): Promise<ShownPicture[]> {
  const pictures = await page.evaluate(() => (globalThis as unknown as World).pictures.splice(0));
  const { width, height } = SIZE;
  return pictures.map(({ atMs, luma }) => {
    // Without colour: only the counter is read.
    const data = Buffer.alloc((width * height * 3) / 2, 128);
    Buffer.from(luma, 'latin1').copy(data);
    return { atMs, counter: readTile({ data, width, height }, { x: 0, y: 0, width, height }).counter };
  });
}

export function lowLatencyState(page: Page): Promise<LowLatencyState> {
  return page.evaluate(() => {
    const { player, state } = globalThis as unknown as World;
    return {
      ...state,
      latency: player.latency,
      targetLatency: player.targetLatency,
      lowLatency: (player.latestLevelDetails?.partList?.length ?? 0) > 0,
    };
  });
}
