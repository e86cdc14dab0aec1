/** Starts an FFmpeg that waits for an SRT caller, says its process id, and waits to be killed: `orphan-maker.ts <port>`. */
import { pino } from 'pino';
import { FfmpegProcess } from '../../src/pipeline/ffmpeg-process.ts';

const [port = ''] = process.argv.slice(2);
const child = new FfmpegProcess({
  args: ['-nostdin', '-i', `srt://127.0.0.1:${port}?mode=listener`, '-c', 'copy', '-f', 'matroska', 'pipe:1'],
  stdin: 'none',
  stdout: 'pipe',
  logger: pino({ level: 'silent' }),
});
process.stdout.write(`${child.pid ?? ''}\n`);
setInterval(() => undefined, 1000);
