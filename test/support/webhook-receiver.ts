/** An HTTP server that takes webhooks, checks them with LiveKit's own receiver, and answers as a test wants. */
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebhookReceiver } from 'livekit-server-sdk';
import type { WebhookEvent } from 'livekit-server-sdk';

export interface ReceivedWebhook {
  event: WebhookEvent;
  headers: IncomingHttpHeaders;
  body: string;
  /** When it came, ms. */
  at: number;
}

/** A status, or `hang`: never. */
export type Answer = number | 'hang';

export interface WebhookServer {
  readonly url: string;
  /** Accepted ones (answered 2xx), in order. */
  readonly received: ReceivedWebhook[];
  /** Every request, whatever it was answered. */
  readonly attempts: ReceivedWebhook[];
  /** Requests whose signature was wrong, as the receiver put it. */
  readonly rejected: string[];
  /** What to answer; asked once a request. */
  answer: (event: WebhookEvent, attempt: number) => Answer | Promise<Answer>;
  close(): Promise<void>;
}

export async function startWebhookServer(apiKey: string, secret: string): Promise<WebhookServer> {
  const receiver = new WebhookReceiver(apiKey, secret);
  const state = {
    received: [] as ReceivedWebhook[],
    attempts: [] as ReceivedWebhook[],
    rejected: [] as string[],
    answer: ((): Answer => 200) as WebhookServer['answer'],
  };

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    let event: WebhookEvent;
    try {
      event = await receiver.receive(body, request.headers.authorization);
    } catch (error) {
      state.rejected.push(String(error));
      response.writeHead(401).end();
      return;
    }
    const webhook = { event, headers: request.headers, body, at: Date.now() };
    state.attempts.push(webhook);
    const answer = await server.answer(event, state.attempts.length);
    if (answer === 'hang') return;
    if (answer >= 200 && answer < 300) state.received.push(webhook);
    response.writeHead(answer, { location: '/elsewhere' }).end('thanks');
  }

  const http = createServer((request, response) => {
    take(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const server: WebhookServer = Object.assign(state, {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/hook`,
    close: () =>
      new Promise<void>((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  });
  return server;
}
