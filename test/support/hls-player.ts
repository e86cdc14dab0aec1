/** hls.js in a page: plays a broadcast as a viewer's browser does. */
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';

const HLS_JS = fileURLToPath(new URL('../../node_modules/hls.js/dist/hls.min.js', import.meta.url));

export interface HlsPlayback {
  /** Seconds; what has been played, not where in the broadcast. */
  currentTime: number;
  width: number;
  height: number;
  /** Pictures shown, and those that were decoded too late to be. */
  frames: number;
  dropped: number;
  audioBytes: number;
  /** What hls.js could not recover from. */
  fatal: string[];
}

/** Of the page's world; the little of hls.js that is used here. */
interface HlsWorld {
  Hls: {
    new (): {
      on(event: string, listener: (event: string, data: { fatal: boolean; details: string }) => void): void;
      loadSource(url: string): void;
      attachMedia(video: unknown): void;
    };
    Events: { ERROR: string };
  };
  fatal: string[];
}

/** What Chromium's video element has beyond the standard. */
interface Video {
  currentTime: number;
  videoWidth: number;
  videoHeight: number;
  webkitAudioDecodedByteCount: number;
  getVideoPlaybackQuality(): { totalVideoFrames: number; droppedVideoFrames: number };
}

/** Begins to play `url`, muted as autoplay wants it, filling a window of `size`. */
export async function playHls(
  page: Page,
  origin: string,
  url: string,
  size = { width: 1280, height: 720 },
): Promise<void> {
  await page.setViewportSize(size);
  const path = `${origin}/hls-page`;
  const style = 'display:block;width:100vw;height:100vh';
  const body = `<!doctype html><body style="margin:0"><video muted autoplay style="${style}"></video>`;
  await page.route(path, (route) => route.fulfill({ contentType: 'text/html', body }));
  await page.goto(path);
  await page.addScriptTag({ path: HLS_JS });
  await page.evaluate((source) => {
    const world = globalThis as unknown as HlsWorld & { document: { querySelector(of: string): unknown } };
    world.fatal = [];
    const hls = new world.Hls();
    hls.on(world.Hls.Events.ERROR, (_event, { fatal, details }) => {
      if (fatal) world.fatal.push(details);
    });
    hls.loadSource(source);
    hls.attachMedia(world.document.querySelector('video'));
  }, url);
}

export function hlsPlayback(page: Page): Promise<HlsPlayback> {
  return page.evaluate(() => {
    const world = globalThis as unknown as HlsWorld & { document: { querySelector(of: string): Video } };
    const video = world.document.querySelector('video');
    const quality = video.getVideoPlaybackQuality();
    return {
      currentTime: video.currentTime,
      width: video.videoWidth,
      height: video.videoHeight,
      frames: quality.totalVideoFrames,
      dropped: quality.droppedVideoFrames,
      audioBytes: video.webkitAudioDecodedByteCount,
      fatal: world.fatal,
    };
  });
}
