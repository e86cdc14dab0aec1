/** `sluice start | server | worker`: run until told to stop, then stop in order. */
import type { Logger } from 'pino';
import { loadConfig } from '../config/index.ts';
import type { Config } from '../config/types.ts';
import { createLogger } from '../logging.ts';
import type { Role, Sluice } from '../service/start.ts';

/** A second signal, or this long after jobs were drained, ends the process whatever still runs. */
const STOP_DEADLINE_MS = 60_000;

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
export function untilSignal(logger: Logger): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let seen = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (seen) {
        logger.error({ signal }, 'second signal: stopping at once');
        process.exit(1);
      }
      seen = true;
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}

async function run(role: Role, env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const config: Config = loadConfig({ env, argv: process.argv });
  const logger = createLogger(config);
  for (const warning of config.warnings) logger.warn(warning);
  const stopped = untilSignal(logger);
  const fatal = Promise.withResolvers<Error>();
  let sluice: Sluice;
  try {
    // After the configuration, which may be refused.
    const { startSluice } = await import('../service/start.ts');
    sluice = await startSluice({ config, role, logger, onFatal: fatal.resolve });
  } catch (error) {
    logger.fatal({ err: error }, 'not started');
    return 1;
  }
  const why = await Promise.race([stopped, fatal.promise]);
  if (why instanceof Error) logger.fatal({ err: why }, 'stopping');
  else logger.info({ signal: why }, 'stopping');
  const deadline = setTimeout(
    () => {
      logger.error('not stopped in time');
      process.exit(1);
    },
    STOP_DEADLINE_MS + (role === 'worker' ? config.worker.drainMs : 0),
  );
  await sluice.close();
  clearTimeout(deadline);
  logger.info('stopped');
  return why instanceof Error ? 1 : 0;
}

export const runStart = (): Promise<number> => run('all');
export const runServer = (): Promise<number> => run('server');
export const runWorker = (): Promise<number> => run('worker');
