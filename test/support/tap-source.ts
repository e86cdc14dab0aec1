/** A live tap: what the pipeline gives to streams, made by GStreamer alone. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface TapSource {
  stop(): Promise<void>;
}

/** Noise of about `kbps` with a keyframe every `gop` frames of 30 a second, and a tone; as MPEG-TS. */
export function startTap(push: (data: Buffer) => void, kbps = 1500, gop = 60): TapSource {
  const pipeline = [
    'mpegtsmux name=m ! fdsink fd=1 sync=false',
    'videotestsrc is-live=true pattern=snow ! video/x-raw,format=I420,width=320,height=240,framerate=30/1',
    `! x264enc tune=zerolatency speed-preset=ultrafast bitrate=${kbps} vbv-buf-capacity=200 key-int-max=${gop}`,
    '! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au ! queue ! m.',
    'audiotestsrc is-live=true samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2',
    '! avenc_aac ! aacparse ! queue ! m.',
  ].join(' ');
  const child = spawn('gst-launch-1.0', ['-q', ...pipeline.split(' ')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  child.stdout.on('data', push);
  return {
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
