/** A sound server of one page's own: PulseAudio with one sink that sounds nowhere. Never the machine's. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { PageError } from './errors.ts';
import { Tool } from './tools.ts';
import type { Workspace } from './workspace.ts';

const READY_MS = 10_000;
const LOOK_MS = 20;
/** What is heard on the page's sink. */
export const SOUND_DEVICE = 'page.monitor';

export interface Sound {
  /** As PULSE_SERVER has it. */
  readonly server: string;
  readonly tool: Tool;
}

/** @throws PageError when PulseAudio is missing or does not come up */
export async function startSound(workspace: Workspace, logger: Logger): Promise<Sound> {
  const { soundSocket } = workspace;
  const tool = new Tool({
    command: [
      ...['pulseaudio', '-n', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1'],
      // Clients can neither end it nor give it more to do.
      ...['--disallow-exit', '--disallow-module-loading', '--log-level=error', '--high-priority=no'],
      ...['-L', 'module-null-sink sink_name=page rate=48000 channels=2 format=s16le'],
      // The folder is closed to others; whoever is in it needs no cookie.
      ...['-L', `module-native-protocol-unix socket=${soundSocket} auth-anonymous=1`],
    ],
    stdio: ['ignore', 'ignore', 'pipe'],
    workspace,
    logger: logger.child({ tool: 'PulseAudio' }),
  });
  for (const deadline = performance.now() + READY_MS; !existsSync(soundSocket);) {
    if (!tool.running || performance.now() > deadline) {
      const reason = tool.running ? `not within ${READY_MS / 1000} s` : (await tool.child.exited).reason;
      await tool.end();
      throw new PageError(`the sound of a page does not come up: PulseAudio: ${reason}`, 'machine');
    }
    await sleep(LOOK_MS);
  }
  return { server: `unix:${soundSocket}`, tool };
}
