/** A real S3 server for tests: OpenStack Swift's S3 API, from Debian's python3-swift, in one process of a test's own. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';

export interface Swift {
  /** `http://127.0.0.1:port` */
  readonly endpoint: string;
  readonly region: 'us-east-1';
  readonly accessKey: string;
  readonly secret: string;
  createBucket(name: string): Promise<void>;
  /** Keys in the bucket, in order. */
  list(bucket: string): Promise<string[]>;
  get(bucket: string, key: string): Promise<Uint8Array>;
  head(bucket: string, key: string): Promise<HeadObjectCommandOutput>;
  /** kill -9: what is on its way is cut off. */
  kill(): Promise<void>;
  /** Again, on the same port with the same data. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay open and nobody answers. */
  pause(): void;
  resume(): void;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

const SERVER = join(import.meta.dirname, 'swift-server.py');
const START_MS = 30_000;

export async function startSwift(): Promise<Swift> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-swift-'));
  let running: { child: ChildProcess; port: number };
  try {
    running = await launch(folder, 0);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  const { port } = running;
  const endpoint = `http://127.0.0.1:${port}`;
  const accessKey = 'test:tester';
  const secret = 'testing';
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secret },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  return {
    endpoint,
    region: 'us-east-1',
    accessKey,
    secret,
    async createBucket(name) {
      await client.send(new CreateBucketCommand({ Bucket: name }));
    },
    async list(bucket) {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
      return Contents.flatMap(({ Key }) => (Key === undefined ? [] : [Key]));
    },
    async get(bucket, key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      if (Body === undefined) throw new Error(`${bucket}/${key} has no body`);
      return Body.transformToByteArray();
    },
    head: (bucket, key) => client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })),
    kill: () => end(running.child),
    async restart() {
      await end(running.child);
      running = await launch(folder, port);
    },
    pause: () => void running.child.kill('SIGSTOP'),
    resume: () => void running.child.kill('SIGCONT'),
    async stop() {
      client.destroy();
      await end(running.child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function launch(folder: string, port: number): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn('/usr/bin/python3', [SERVER, folder, String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const errors: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line));
  const ready = new Promise<number>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = /^ready (\d+)$/.exec(line);
      if (match) resolve(Number(match[1]));
    });
    child.once('error', reject);
    child.once('close', () => reject(new Error(`Swift did not start:\n${errors.slice(-20).join('\n')}`)));
  });
  const late = sleep(START_MS, undefined, { ref: false }).then(() => {
    throw new Error(`Swift was not ready within ${START_MS / 1000} s`);
  });
  try {
    return { child, port: await Promise.race([ready, late]) };
  } catch (error) {
    await end(child);
    throw error;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}
