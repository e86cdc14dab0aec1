/** The test publisher's life and ends: whatever goes wrong is said, and nothing is left. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';

import { PublisherError, startTestPublisher, type TestPublisherOptions } from '../../src/demo/publisher.ts';
import { freePort } from '../support/ports.ts';
import { startWhipReceiver } from '../support/whip-receiver.ts';

const logger = pino({ level: 'silent' });
const TOKEN = 'a-secret-token';

const start = (options: Partial<TestPublisherOptions> & { whipUrl: string }) =>
  startTestPublisher({ token: TOKEN, color: 'red', width: 160, height: 90, logger, ...options });

/** Test publishers that run as children of this process. */
function running(): number {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ').filter(Boolean);
  return children.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('test-publisher.js');
    } catch {
      return false;
    }
  }).length;
}

async function withServer<T>(status: number, body: string, run: (url: string) => Promise<T>): Promise<T> {
  const server = createServer((_, response) => response.writeHead(status).end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}/whip`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('a start that fails', () => {
  test('because the token is refused', async () => {
    const receiver = await startWhipReceiver({ token: 'another' });
    try {
      const error = await start({ whipUrl: receiver.url }).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(PublisherError);
      expect(String(error)).toContain('401: who are you?');
      expect(String(error)).not.toContain(TOKEN);
    } finally {
      await receiver.close();
    }
  });

  test('because nobody listens', async () => {
    const url = `http://127.0.0.1:${await freePort()}/whip`;
    await expect(start({ whipUrl: url })).rejects.toThrow(/does not answer: .*ECONNREFUSED/);
  });

  test('because the answer has no Location', async () => {
    await withServer(201, 'v=0', (url) =>
      expect(start({ whipUrl: url })).rejects.toThrow(/without a Location/),
    );
  });

  test('because the answer is not SDP', async () => {
    const server = createServer((_, response) => response.writeHead(201, { location: '/x' }).end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/whip`;
      await expect(start({ whipUrl: url })).rejects.toThrow(PublisherError);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('because the media cannot get through: the session is deleted', async () => {
    const receiver = await startWhipReceiver({ token: TOKEN, unreachable: true });
    try {
      await expect(start({ whipUrl: receiver.url, timeoutMs: 2500 })).rejects.toThrow(/ICE or DTLS/);
      expect(receiver.requests).toEqual(['POST /whip', 'DELETE /whip/session-1']);
    } finally {
      await receiver.close();
    }
  });

  test.for([
    ['odd size', { width: 161 }, /161x90/],
    ['too small', { width: 80, height: 60 }, /80x60/],
    ['layers too small', { simulcast: true, width: 320, height: 180 }, /320x180: simulcast needs/],
    ['no frame rate', { fps: 0 }, /fps is 0/],
    ['more slices than rows', { slices: 6 }, /slices is 6/],
    ['no group of pictures', { gopSeconds: 0 }, /gopSeconds is 0/],
    ['nothing to publish', { videoCodec: null, audio: false }, /video or audio/],
  ] as const)('because of its settings: %s', async ([, options, message]) => {
    await expect(start({ whipUrl: 'http://127.0.0.1:1/whip', ...options })).rejects.toThrow(message);
  });

  test('leaves no process', () => expect.poll(running, { timeout: 2000 }).toBe(0));
});

describe('an end', () => {
  test('by stop: the session is deleted, once, and nothing was wrong', async () => {
    const receiver = await startWhipReceiver({ token: TOKEN });
    const log: string[] = [];
    try {
      const keeping = pino({ level: 'debug' }, { write: (line: string) => void log.push(line) });
      const publisher = await start({ whipUrl: receiver.url, logger: keeping });
      expect(publisher.resource).toBe(new URL('/whip/session-1', receiver.url).href);
      await Promise.all([publisher.stop(), publisher.stop()]);
      expect(await publisher.exited).toEqual({ code: 0, signal: null });
      expect(log.filter((line) => /CRITICAL|WARNING|"level":[456]0/.test(line))).toEqual([]);
      expect(log.join('')).toContain('test publisher connected');
      expect(receiver.requests).toEqual(['POST /whip', 'DELETE /whip/session-1']);
      expect(() => publisher.muteAudio(true)).toThrow(/has ended \(code 0\)/);
    } finally {
      await receiver.close();
    }
  });

  test('by a kill from outside is recorded', async () => {
    const receiver = await startWhipReceiver({ token: TOKEN });
    try {
      const publisher = await start({ whipUrl: receiver.url, videoCodec: null });
      expect(() => publisher.muteVideo(true)).toThrow(/has none/);
      expect(() => publisher.setResolution(320, 180)).toThrow(/has no video/);
      process.kill(publisher.pid, 'SIGKILL');
      expect(await publisher.exited).toEqual({ code: null, signal: 'SIGKILL' });
      await publisher.stop();
    } finally {
      await receiver.close();
    }
  });

  test('of the parent ends the program', async () => {
    const program = fileURLToPath(new URL('../../dist/pipelines/test-publisher.js', import.meta.url));
    const child = spawn('gjs', ['-m', program], { stdio: ['pipe', 'pipe', 'ignore'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = new Promise((resolve) => child.once('close', resolve));
    const settings = { color: 'red', pitch: 523, video: null, audio: 'opus', addresses: [] };
    child.stdin.write(`${JSON.stringify({ cmd: 'init', settings })}\n`);
    await expect.poll(() => said, { timeout: 5000 }).toContain('"offer"');
    child.stdin.end();
    expect(await ended).toBe(0);
    expect(said).toContain('"stopped"');
  });

  test('by a command it does not know what to do with is an error', async () => {
    const program = fileURLToPath(new URL('../../dist/pipelines/test-publisher.js', import.meta.url));
    const child = spawn('gjs', ['-m', program], { stdio: ['pipe', 'pipe', 'ignore'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.stdin.write(`${JSON.stringify({ cmd: 'answer', sdp: 'v=0' })}\n`);
    expect(await ended).toBe(1);
    expect(said).toContain('answer before init');
  });
});
