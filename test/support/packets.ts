/** The pictures of a file, as they are in it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Packet {
  time: number;
  keyframe: boolean;
}

export async function videoPackets(file: string): Promise<Packet[]> {
  const { stdout } = await run('ffprobe', [
    ...['-v', 'error', '-select_streams', 'v', '-show_entries', 'packet=pts_time,flags', '-of', 'csv=p=0'],
    file,
  ]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.split(','))
    .map(([time = '', flags = '']) => ({ time: Number(time), keyframe: flags.includes('K') }));
}

/** The packet a stream went on with after its longest gap, and how long that was, seconds. */
export function afterLongestGap(packets: readonly Packet[]): { packet: Packet; gap: number } {
  let found = { packet: packets[0]!, gap: 0 };
  packets.forEach((packet, index) => {
    const gap = index === 0 ? 0 : packet.time - packets[index - 1]!.time;
    if (gap > found.gap) found = { packet, gap };
  });
  return found;
}
