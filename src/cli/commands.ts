/**
 * The command line: parses it and hands over to the command, which is loaded then: most of a start is loading. Errors
 * end in a message and an exit code.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { ConfigError } from '../config/index.ts';
import type { TokenOptions } from './token.ts';

function version(): string {
  // src/cli in a checkout, dist/src/cli in the package.
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version: found } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as {
        name?: unknown;
        version?: unknown;
      };
      if (name === 'sluice' && typeof found === 'string') return found;
    } catch {
      // Not there: it is the other one.
    }
  }
  return 'unknown';
}

function seconds(value: string): number {
  const parsed = Number(value);
  if (!Number.isInteger(parsed) || parsed < 5 || parsed > 3600) {
    throw new InvalidArgumentError('Allowed is a whole number of seconds from 5 to 3600.');
  }
  return parsed;
}

function buildProgram(): Command {
  const program = new Command('sluice')
    .description(
      "Egress and ingress service of a mediasoup SFU: records rooms to MP4, broadcasts them over HLS and restreams them over RTMP, driven by LiveKit's server API.",
    )
    .version(version(), '-V, --version')
    .showHelpAfterError('(sluice --help lists the commands)')
    .exitOverride();

  program
    .command('demo')
    .description('do the main job once: two test callers, one MP4, one HLS broadcast, one RTMP stream')
    .option('--seconds <n>', 'how long to record', seconds, 20)
    .option('--keep', 'leave the server running afterwards', false)
    .action(async (options: { seconds: number; keep: boolean }) => {
      const { runDemo } = await import('./demo.ts');
      process.exitCode = await runDemo(options);
    });
  program
    .command('start')
    .description('server and worker in one process, with a redis-server of its own when redis.url is not set')
    .action(async () => {
      const { runStart } = await import('./run.ts');
      process.exitCode = await runStart();
    });
  program
    .command('server')
    .description('API, SFU, signalling and webhooks; needs redis.url')
    .action(async () => {
      const { runServer } = await import('./run.ts');
      process.exitCode = await runServer();
    });
  program
    .command('worker')
    .description('takes jobs and runs their pipelines; needs redis.url')
    .action(async () => {
      const { runWorker } = await import('./run.ts');
      process.exitCode = await runWorker();
    });

  for (const each of program.commands) each.option('--config <file>', 'configuration (YAML)');

  program
    .command('token')
    .description('access tokens')
    .command('create')
    .description('print an access token for a room')
    .requiredOption('--room <name>', 'room the token opens')
    .requiredOption('--identity <name>', 'identity of the participant')
    .option('--publish', 'may publish', false)
    .option('--subscribe', 'may subscribe', false)
    .option('--hidden', 'is not shown to others', false)
    .option('--recorder', 'is a recorder', false)
    .option('--name <text>', 'display name')
    .option('--metadata <text>', 'metadata of the participant')
    .addOption(
      new Option('--ttl <time>', 'how long it is good for, such as 90s, 15m, 6h or 7d').default('6h'),
    )
    .action(async (options: TokenOptions) => {
      const { createTokenFor } = await import('./token.ts');
      process.stdout.write(`${await createTokenFor(options)}\n`);
    });
  program.command('fuzz').description('run the fuzzers for long (only from a checkout, through ./sluice)');
  program.command('test').description('run the whole test suite (only from a checkout, through ./sluice)');
  program
    .command('chaos')
    .description(
      'cause faults and account for every second recorded (only from a checkout, through ./sluice)',
    );
  return program;
}

/** Never throws. */
export async function main(): Promise<void> {
  try {
    await buildProgram().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode;
    } else if (error instanceof ConfigError) {
      process.stderr.write(`${error.message}\n`);
      process.exitCode = 2;
    } else {
      process.stderr.write(`sluice: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    }
  }
}
