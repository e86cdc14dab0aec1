/** What goes wrong, how long, and what it may cost which recording. */
import { setTimeout as sleep } from 'node:timers/promises';
import { pipelinePid } from '../support/takeover.ts';
import type { Cost, Fault, Target } from './fault.ts';
import { latestAttempt, streamProcesses } from './processes.ts';
import { RECORDINGS } from './recordings.ts';
import type { RecordingName } from './recordings.ts';
import { storageAway } from './storage-away.ts';

/** Recordings of who publishes directly: what they miss must be named by a gap. */
const DIRECT: readonly RecordingName[] = ['copy', 'room', 'track', 'guest'];
const PULLED: readonly RecordingName[] = ['encoder', 'film'];
/** How long a restarted or taken-over stream takes to be on air again, seconds. */
const STREAM_BACK = 8;
/** Minutes of a run whose long faults are as long as in the promises. */
const FULL_MINUTES = 30;
/** What is promised of a storage that is away, s. */
export const STORAGE_AWAY_S = 600;
/** The same for an ingress. */
const INGRESS_BACK = 8;

/** What losing workers may cost. @param most the longest gap in what is recorded directly, seconds */
function workersLost(most: number): Cost[] {
  return [
    { recordings: [...DIRECT, ...PULLED, 'stream'], kind: 'gap', most, after: 4 },
    { recordings: ['stream'], kind: 'absence', most: 0, after: STREAM_BACK },
    { recordings: PULLED, kind: 'absence', most: 0, after: INGRESS_BACK },
  ];
}
const EVERYTHING: readonly Target[] = [...RECORDINGS, 'workers', 'sender', 'rtmp', 'guest-seat'];

function pipelineKilled(name: RecordingName): Fault {
  return {
    name: `pipeline of ${name} killed`,
    targets: [name],
    async cause(rig) {
      const id = rig.egressIds.get(name) ?? '';
      const pid = await pipelinePid(rig.sluice, id, { attempt: await latestAttempt(rig.sluice, id) });
      process.kill(pid, 'SIGKILL');
      return `pid ${pid}`;
    },
    costs: [
      { recordings: [name], kind: 'gap', most: 3, after: 2 },
      ...(name === 'stream'
        ? [{ recordings: [name], kind: 'absence', most: 0, after: STREAM_BACK } as const]
        : []),
    ],
    settle: 4,
  };
}

/**
 * All that can go wrong.
 * @param minutes of the run
 * @param full long faults are as long as was promised: in half an hour by themselves, in shorter runs they are shorter
 */
export function faults(minutes: number, full = minutes >= FULL_MINUTES): Fault[] {
  return [
    pipelineKilled('copy'),
    pipelineKilled('room'),
    pipelineKilled('track'),
    pipelineKilled('stream'),
    {
      name: 'FFmpeg of the stream killed',
      targets: ['stream', 'rtmp'],
      async cause(rig) {
        const pids = streamProcesses(rig.workers.map(({ child }) => child.pid ?? 0));
        for (const pid of pids) process.kill(pid, 'SIGKILL');
        return pids.length > 0 ? `pid ${pids.join(', ')}` : 'none ran';
      },
      costs: [{ recordings: ['stream'], kind: 'absence', most: 0, after: STREAM_BACK }],
      settle: 6,
    },
    {
      name: 'worker killed',
      targets: EVERYTHING,
      async cause(rig, chance) {
        const worker = chance.pick(rig.workers);
        rig.take(worker);
        worker.child.kill('SIGKILL');
        await worker.ended();
        await rig.addWorker();
        return `pid ${String(worker.child.pid)}, and a new one started`;
      },
      costs: workersLost(5),
      settle: 8,
    },
    {
      name: 'worker stopped for 8 s',
      targets: EVERYTHING,
      async cause(rig, chance) {
        const worker = chance.pick(rig.workers);
        worker.child.kill('SIGSTOP');
        await sleep(8000);
        worker.child.kill('SIGCONT');
        return `pid ${String(worker.child.pid)}`;
      },
      costs: workersLost(5),
      settle: 8,
    },
    {
      name: 'worker told to go',
      targets: EVERYTHING,
      async cause(rig, chance) {
        const worker = chance.pick(rig.workers);
        await rig.addWorker();
        rig.take(worker);
        const code = await worker.stop();
        if (code !== 0) throw new Error(`a worker told to go exited with ${String(code)}`);
        return `pid ${String(worker.child.pid)}, and a new one started before`;
      },
      costs: workersLost(1),
      settle: 8,
    },
    {
      name: 'Redis killed',
      targets: ['redis', 'workers'],
      async cause(rig, chance) {
        const downMs = Math.round(chance.between(200, 2000));
        await rig.redis.restart({ downMs });
        return `away for ${downMs} ms`;
      },
      costs: [],
      settle: 8,
    },
    {
      name: 'Redis silent',
      targets: ['redis', 'workers'],
      async cause(rig) {
        const seconds = full ? 60 : Math.round(Math.min(30, Math.max(4, 2 * minutes)));
        rig.redis.pause();
        await sleep(seconds * 1000);
        rig.redis.resume();
        return `for ${seconds} s`;
      },
      costs: [],
      settle: 8,
    },
    {
      name: 'RTMP destination away',
      targets: ['rtmp', 'stream'],
      async cause(rig, chance) {
        const seconds = chance.between(1, full ? 30 : 6);
        rig.rtmpWire.cut();
        await sleep(seconds * 1000);
        rig.rtmpWire.restore();
        return `for ${seconds.toFixed(1)} s`;
      },
      costs: [{ recordings: ['stream'], kind: 'absence', most: 0, after: 12 }],
      settle: 10,
    },
    {
      name: 'RTMP destination stops reading',
      targets: ['rtmp', 'stream'],
      async cause(rig, chance) {
        const seconds = chance.between(3, 8);
        rig.rtmpWire.stall();
        await sleep(seconds * 1000);
        rig.rtmpWire.restore();
        return `for ${seconds.toFixed(1)} s`;
      },
      costs: [{ recordings: ['stream'], kind: 'absence', most: 0, after: 12 }],
      settle: 10,
    },
    {
      name: 'pipeline of copy hung',
      targets: ['copy'],
      async cause(rig) {
        const id = rig.egressIds.get('copy') ?? '';
        const attempt = await latestAttempt(rig.sluice, id);
        const pid = await pipelinePid(rig.sluice, id, { attempt });
        process.kill(pid, 'SIGSTOP');
        await pipelinePid(rig.sluice, id, { attempt, before: pid });
        return `pid ${pid}, replaced`;
      },
      // It is noticed after four to five seconds, and restarted within two.
      costs: [{ recordings: ['copy'], kind: 'gap', most: 7, after: 2 }],
      settle: 4,
    },
    {
      name: 'storage away while a recording ends',
      targets: ['storage'],
      cause: (rig) => storageAway(rig, full ? STORAGE_AWAY_S : Math.round(Math.max(5, 6 * minutes))),
      ...(full && { lasts: STORAGE_AWAY_S }),
      costs: [],
      settle: 1,
    },
    {
      name: 'RTMP sender killed',
      targets: ['sender', 'encoder'],
      async cause(rig, chance) {
        const seconds = chance.between(1, 5);
        await rig.stopSending();
        await sleep(seconds * 1000);
        rig.startSending();
        return `back after ${seconds.toFixed(1)} s`;
      },
      costs: [{ recordings: ['encoder'], kind: 'absence', most: 0, after: INGRESS_BACK }],
      settle: 6,
    },
    {
      name: 'guest leaves',
      targets: ['guest-seat', 'guest'],
      async cause(rig, chance) {
        const seconds = chance.between(1, 6);
        await rig.leave('guest');
        await sleep(seconds * 1000);
        await rig.enter('guest');
        return `and is back after ${seconds.toFixed(1)} s`;
      },
      costs: [{ recordings: ['guest'], kind: 'absence', most: 0, after: 4 }],
      settle: 5,
    },
    {
      name: 'packets lost and reordered',
      targets: ['network'],
      async cause(rig, chance) {
        const seconds = chance.between(4, 10);
        const before = { ...rig.path.network.counts };
        rig.path.network.faults = { loss: 0.02, reorder: { share: 0.02, byMs: 20 } };
        await sleep(seconds * 1000);
        rig.path.network.faults = {};
        const { lost, seen } = rig.path.network.counts;
        return `${lost - before.lost} of ${seen - before.seen} lost in ${seconds.toFixed(1)} s`;
      },
      costs: [],
      settle: 2,
    },
  ];
}
