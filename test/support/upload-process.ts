/** Uploads in a process of their own: `upload-process.ts OPTIONS` (JSON). Says `ready`, and works until it is killed. */
import { UploadRig } from './uploads.ts';
import type { UploadRigOptions } from './uploads.ts';

await UploadRig.start(JSON.parse(process.argv[2] ?? '') as UploadRigOptions);
process.stdout.write('ready\n');
