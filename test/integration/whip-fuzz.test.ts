/** A real server under damaged offers: it answers every one, and goes on. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mutations } from '../fuzz/sdp-mutations.ts';
import { offerOf } from '../support/offers.ts';
import { startSignaling } from '../support/signaling-server.ts';
import type { SignalingServer } from '../support/signaling-server.ts';

const COUNT = 400;

let server: SignalingServer;
beforeAll(async () => {
  server = await startSignaling({ timing: { connectTimeoutMs: 300 } });
});
afterAll(() => server.close());

async function post(path: string, identity: string, body: string): Promise<Response> {
  return fetch(new URL(path, server.url), {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await server.token('fuzz', identity)}`,
      'content-type': 'application/sdp',
    },
    body,
  });
}

test(`${COUNT} damaged offers are answered or refused, and the mediasoup worker lives on`, async () => {
  const pids = server.sfu.workerPids;
  const statuses = new Map<string, number>();
  let index = 0;
  for (const { description, sdp } of mutations(COUNT, 8840)) {
    const path = index % 2 === 0 ? '/whip' : '/whep';
    const response = await post(path, `fuzz-${index++}`, sdp);
    const text = await response.text();
    expect([201, 400], `${description}: ${text.slice(0, 200)}`).toContain(response.status);
    if (response.status === 400) expect(JSON.parse(text), description).toMatchObject({ status: 400 });
    const key = `${path} ${response.status}`;
    statuses.set(key, (statuses.get(key) ?? 0) + 1);
  }
  process.stdout.write(`damaged offers posted: ${JSON.stringify(Object.fromEntries(statuses))}\n`);
  for (const key of ['/whip 201', '/whip 400', '/whep 201', '/whep 400']) {
    expect(statuses.get(key) ?? 0, key).toBeGreaterThan(5);
  }
  expect(server.sfu.workerPids, 'the same worker').toEqual(pids);
  expect((await post('/whip', 'good', offerOf('chromium-156-send'))).status).toBe(201);
  expect((await post('/whep', 'viewer', offerOf('firefox-153-watch'))).status).toBe(201);
});
