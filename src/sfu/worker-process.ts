/** One mediasoup worker process: started so that only we end it, and ended in order. */
import { once } from 'node:events';
import { access, constants } from 'node:fs/promises';
import { createWorker, workerBin as defaultWorkerBin } from 'mediasoup';
import type { types as ms } from 'mediasoup';
import type { Logger } from 'pino';
import { childEnvironment } from '../child-environment.ts';

/** How long a worker may take to answer what it was asked before it is told to end. */
const DRAIN_DEADLINE_MS = 500;
/** How long a worker may take to end after it was told to. */
const CLOSE_DEADLINE_MS = 2000;

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * mediasoup ends its workers at SIGINT and SIGTERM by itself, rooms and all, while recordings that are being
 * finished still need them; so its handlers are taken away, and the process gets a session of its own, where
 * a terminal's Ctrl-C does not reach it.
 *
 * @param workerBin default: the environment's MEDIASOUP_WORKER_BIN, or mediasoup's own
 * @throws Error that names the program when it cannot be run
 */
export async function startWorkerProcess(workerBin: string = defaultWorkerBin): Promise<ms.Worker> {
  await access(workerBin, constants.X_OK).catch((err: unknown) => {
    throw new Error(`the mediasoup worker cannot be run: ${workerBin}`, { cause: err });
  });
  const before = SIGNALS.map((signal) => process.listeners(signal));
  // createWorker spawns before it returns.
  const starting = withEnvironment(
    // mediasoup's one way to start its worker through another program.
    { MEDIASOUP_USE_VALGRIND: 'true', MEDIASOUP_VALGRIND_BIN: 'setsid', MEDIASOUP_VALGRIND_OPTIONS: '' },
    () => createWorker({ logLevel: 'warn', workerBin }),
  );
  SIGNALS.forEach((signal, index) => {
    for (const listener of process.listeners(signal))
      if (!before[index]?.includes(listener)) process.off(signal, listener);
  });
  return starting;
}

/** Runs `start` with the environment that a child may have, and more; it is as before when this returns. */
function withEnvironment<T>(more: Readonly<Record<string, string>>, start: () => T): T {
  const ours = { ...process.env };
  replaceEnvironment(childEnvironment(ours, more));
  try {
    return start();
  } finally {
    replaceEnvironment(ours);
  }
}

function replaceEnvironment(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(process.env)) Reflect.deleteProperty(process.env, name);
  Object.assign(process.env, env);
}

/** Resolves when the process is gone; kills it when it does not go by itself. */
export async function endWorker(worker: ms.Worker, logger: Logger): Promise<void> {
  if (worker.subprocessClosed) return;
  const gone = once(worker, 'subprocessclose');
  await drain(worker);
  if (!worker.closed) worker.close();
  const kill = setTimeout(() => {
    logger.warn({ pid: worker.pid }, 'mediasoup worker did not end, killing it');
    process.kill(worker.pid, 'SIGKILL');
  }, CLOSE_DEADLINE_MS);
  await gone;
  clearTimeout(kill);
}

/** Closing tears the channel down at once: an answer still on its way would be written to a broken pipe. */
async function drain(worker: ms.Worker): Promise<void> {
  if (worker.closed) return;
  const deadline = AbortSignal.timeout(DRAIN_DEADLINE_MS);
  // Answers come in order, so this one comes last. A worker that hangs or dies meanwhile has nothing to say.
  await Promise.race([worker.getResourceUsage().catch(() => undefined), once(deadline, 'abort')]);
}
