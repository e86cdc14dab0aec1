/** A worker process that joins a room and says how its bridge ended: `bridge-worker.ts <url> <token>`. */
import { pino } from 'pino';
import { connectBridge } from '../../src/bridge/client.ts';

const [url = '', token = ''] = process.argv.slice(2);
const client = await connectBridge({ url, token, attempt: 1, logger: pino({ level: 'silent' }) });
client.onClose((code) => process.stdout.write(`closed ${code}\n`));
