/** A real SFU on free ports, and what tests of it share. */
import { ParticipantInfo_Kind } from '@livekit/protocol';
import { pino } from 'pino';
import { createSfu } from '../../src/sfu/sfu.ts';
import type { SfuNode } from '../../src/sfu/sfu.ts';
import type { JoinOptions, Permissions, SfuEvent } from '../../src/sfu/types.ts';
import { freePort } from './ports.ts';

export const silentLogger = pino({ level: process.env.TEST_LOG_LEVEL ?? 'silent' });

export async function startSfu(workers = 1): Promise<SfuNode> {
  // Neighbouring ports are taken by the workers; a retry covers the rare one that is not free.
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return await createSfu({
        logger: silentLogger,
        rtc: {
          udpPort: port,
          tcpPort: port,
          host: '127.0.0.1',
          plainPortRange: { min: 40000, max: 49999 },
          workers,
          plainListenIp: '127.0.0.1',
        },
      });
    } catch (err) {
      if (attempt === 5) throw err;
    }
  }
}

export const visible: Permissions = {
  canPublish: true,
  canSubscribe: true,
  canPublishData: true,
  canPublishSources: [],
  hidden: false,
  recorder: false,
};

export const recorder: JoinOptions = {
  identity: 'EG_test',
  kind: ParticipantInfo_Kind.EGRESS,
  permissions: { ...visible, canPublish: false, hidden: true, recorder: true },
};

/** Events as they come, and a way to wait for one. */
export class EventLog {
  readonly events: SfuEvent[] = [];

  constructor(source: { on(listener: (event: SfuEvent) => void): () => void }) {
    source.on((event) => this.events.push(event));
  }

  get types(): string[] {
    return this.events.map((event) => event.type);
  }
}

/** Resolves when `condition` holds; fails after `timeoutMs`, saying what it waited for. */
export async function until(what: string, condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await sleep(10);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
