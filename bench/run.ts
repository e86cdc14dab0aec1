/**
 * Runs a bench: `npm run bench -- <name>`. Each measures on its own, prints a table, and leaves nothing behind.
 */
import { existsSync, readdirSync } from 'node:fs';
import { buildPipelines, buildWeb } from '../scripts/build.ts';

const BENCHES = readdirSync(new URL('.', import.meta.url))
  .filter((file) => file.endsWith('.ts') && file !== 'run.ts')
  .map((file) => file.slice(0, -3));

const [name = '', ...rest] = process.argv.slice(2);
if (!BENCHES.includes(name)) {
  process.stderr.write(`usage: npm run bench -- <name>, one of: ${BENCHES.join(', ')}\n`);
  process.exit(2);
}
const worker = process.env.MEDIASOUP_WORKER_BIN;
if (worker !== undefined && !existsSync(worker)) {
  process.stderr.write(`MEDIASOUP_WORKER_BIN is ${worker}, which does not exist\n`);
  process.exit(2);
}
await buildPipelines();
await buildWeb();
const bench = (await import(`./${name}.ts`)) as { main(args: readonly string[]): Promise<void> };
await bench.main(rest);
