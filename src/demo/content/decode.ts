/**
 * Decodes several streams of a file in one FFmpeg: of some seconds, to start it and to open the file cost as much as to
 * decode them.
 */
import { streamTool } from './tool.ts';

/** What is decoded of one stream. */
export interface StreamReader {
  /** FFmpeg's arguments from the stream on; what is decoded and its `framecrc` listing go to two pipes. */
  outputOf: (media: string, listing: string) => string[];
  /** Takes what is decoded as it comes. */
  take: (chunk: Buffer) => void;
  /** Takes the listing as it comes. */
  list: (text: string) => void;
}

/** First descriptor of each reader's two pipes; 2 is FFmpeg's stderr. */
const PIPES = 3;

/** @returns what the decoders complained about. @throws Error when the file cannot be read, or a reader throws */
export async function decode(input: string, readers: readonly StreamReader[]): Promise<string[]> {
  if (readers.length === 0) return [];
  const outputs: Record<number, (chunk: Buffer) => void> = {};
  // Threads of their own are slower for what is as small, and cost more.
  const args = ['-v', 'error', '-nostdin', '-filter_threads', '1', '-threads', '1', '-copyts', '-i', input];
  readers.forEach(({ outputOf, take, list }, index) => {
    const [media, listing] = [PIPES + 2 * index, PIPES + 2 * index + 1];
    outputs[media] = take;
    outputs[listing] = (chunk) => list(chunk.toString('latin1'));
    args.push(...outputOf(`pipe:${media}`, `pipe:${listing}`));
  });
  const { stderr } = await streamTool('ffmpeg', args, outputs);
  return stderr.split('\n').filter((line) => line.trim() !== '');
}
