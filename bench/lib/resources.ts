/** What processes hold besides CPU time: memory, descriptors, threads, sockets; from /proc, so Linux only. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Held {
  processes: number;
  threads: number;
  /** MB. */
  rss: number;
  /** Open file descriptors. */
  fds: number;
  /** UDP sockets, and TCP sockets in any state. */
  udp: number;
  tcp: number;
}

/** What those of `pids` that still run hold together. */
export function held(pids: readonly number[]): Held {
  const sum: Held = { processes: 0, threads: 0, rss: 0, fds: 0, udp: 0, tcp: 0 };
  const sockets = { udp: inodes(['udp', 'udp6']), tcp: inodes(['tcp', 'tcp6']) };
  for (const pid of pids) {
    let status: string;
    let targets: string[];
    try {
      status = readFileSync(`/proc/${pid}/status`, 'utf8');
      targets = readdirSync(`/proc/${pid}/fd`).map((fd) => target(pid, fd));
    } catch {
      continue;
    }
    const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    // A zombie has no memory; it counts as a process, for somebody has not waited for it.
    sum.processes++;
    sum.threads += field('Threads');
    sum.rss += field('VmRSS') / 1024;
    sum.fds += targets.length;
    for (const each of targets) {
      const inode = /^socket:\[(\d+)\]$/.exec(each)?.[1];
      if (inode === undefined) continue;
      if (sockets.udp.has(inode)) sum.udp++;
      if (sockets.tcp.has(inode)) sum.tcp++;
    }
  }
  return sum;
}

/** What a descriptor leads to; empty when it has been closed meanwhile. */
function target(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return '';
  }
}

/** Inodes of all sockets in these tables of /proc/net (proc(5): the tenth column). */
function inodes(tables: readonly string[]): Set<string> {
  return new Set(
    tables.flatMap((name) => {
      let text: string;
      try {
        text = readFileSync(`/proc/net/${name}`, 'utf8');
      } catch {
        return []; // No IPv6.
      }
      return text
        .split('\n')
        .slice(1)
        .flatMap((line) => line.trim().split(/\s+/)[9] ?? []);
    }),
  );
}
