/** Somebody in the room who looks at one picture: RTP over the bridge, decoded by FFmpeg, its counter read. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectBridge } from '../../src/bridge/client.ts';
import type { BridgeClient } from '../../src/bridge/client.ts';
import { quiet } from '../../test/support/callers.ts';
import type { Sluice } from '../../test/support/sluice.ts';
import { listening, sdpOf } from './ffmpeg-recorder.ts';
import { readPictures } from './pictures.ts';

const SIZE = { width: 640, height: 360 };

export interface RoomViewerOptions {
  sluice: Sluice;
  room: string;
  /** Of this viewer. */
  identity: string;
  videoTrackId: string;
  /** Free, and the one after it too. */
  port: number;
  folder: string;
  /** Each picture not seen before, with the wall clock it was read at. */
  onPicture: (counter: number, atMs: number) => void;
}

export class RoomViewer {
  readonly #bridge: BridgeClient;
  readonly #child: ChildProcess;

  private constructor(bridge: BridgeClient, child: ChildProcess) {
    this.#bridge = bridge;
    this.#child = child;
  }

  static async start(options: RoomViewerOptions): Promise<RoomViewer> {
    const { sluice, room, identity, videoTrackId, port, folder } = options;
    const bridge = await connectBridge({
      url: `${sluice.url.replace(/^http/, 'ws')}/bridge`,
      token: await sluice.bridgeToken(identity, { room, hidden: true, recorder: true }),
      attempt: 1,
      logger: quiet,
    });
    const subscription = await bridge.request('subscribe', { trackId: videoTrackId, ip: '127.0.0.1', port });
    const { subscriptionId } = subscription;
    const sdp = join(folder, `${identity}.sdp`);
    await writeFile(sdp, sdpOf([subscription, port]));
    const child = spawn(
      'ffmpeg',
      [
        ...['-v', 'error', '-nostdin', '-fflags', 'nobuffer', '-flags', 'low_delay', '-analyzeduration', '0'],
        ...['-probesize', '32', '-reorder_queue_size', '0', '-threads', '1'],
        ...['-protocol_whitelist', 'file,udp,rtp', '-i', sdp, '-an'],
        ...['-vf', `scale=${SIZE.width}:${SIZE.height}:flags=area,format=yuv420p`],
        ...['-fps_mode', 'passthrough', '-f', 'rawvideo', 'pipe:1'],
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    readPictures(child.stdout, SIZE, options.onPicture);
    const viewer = new RoomViewer(bridge, child);
    try {
      await listening(child, [port]);
      if (subscription.spatialLayers > 1) {
        await bridge.request('setPreferredLayers', {
          ...{ subscriptionId, spatialLayer: subscription.spatialLayers - 1 },
        });
      }
      await bridge.request('resume', { subscriptionId });
      await bridge.request('requestKeyFrame', { subscriptionId });
      // FFmpeg asks for nothing itself; the first keyframe may be lost while it comes up.
      for (let again = 0; again < 3; again++) {
        await sleep(500);
        await bridge.request('requestKeyFrame', { subscriptionId });
      }
      return viewer;
    } catch (error) {
      await viewer.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await ended;
    }
    await this.#bridge.leave();
  }
}
