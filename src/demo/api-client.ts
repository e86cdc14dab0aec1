/** The few calls the demo makes, over Twirp's JSON as any client would. */
import { EgressInfo } from '@livekit/protocol';
import { createAccessToken } from '../auth/token.ts';

export interface ApiClientOptions {
  /** e.g. `http://127.0.0.1:7880`. */
  url: string;
  key: string;
  secret: string;
}

export class ApiClient {
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
  }

  async startRoomComposite(request: Record<string, unknown>): Promise<EgressInfo> {
    return EgressInfo.fromJson(asJson(await this.#call('Egress/StartRoomCompositeEgress', request)), LENIENT);
  }

  async stopEgress(egressId: string): Promise<EgressInfo> {
    return EgressInfo.fromJson(
      asJson(await this.#call('Egress/StopEgress', { egress_id: egressId })),
      LENIENT,
    );
  }

  async getEgress(egressId: string): Promise<EgressInfo | undefined> {
    const answer = await this.#call('Egress/ListEgress', { egress_id: egressId });
    const items = answer.items;
    return Array.isArray(items) && items.length > 0
      ? EgressInfo.fromJson(asJson(items[0]), LENIENT)
      : undefined;
  }

  async createRoom(name: string): Promise<void> {
    await this.#call('RoomService/CreateRoom', { name });
  }

  /** A token that publishes into `room`. */
  publisherToken(room: string, identity: string): Promise<string> {
    const { key, secret } = this.#options;
    return createAccessToken({
      key,
      secret,
      identity,
      ttl: 3600,
      grants: { roomJoin: true, room, canPublish: true },
    });
  }

  async #call(method: string, request: Record<string, unknown>): Promise<Record<string, unknown>> {
    const { url, key, secret } = this.#options;
    const grants = { roomCreate: true, roomRecord: true, roomList: true };
    const response = await fetch(`${url}/twirp/livekit.${method}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${await createAccessToken({ key, secret, ttl: 60, grants })}`,
      },
      body: JSON.stringify(request),
      signal: AbortSignal.timeout(10_000),
    });
    const answer: unknown = await response.json();
    if (typeof answer !== 'object' || answer === null) throw new Error(`${method} answered ${typeof answer}`);
    if (!response.ok) throw new Error(`${method}: ${'msg' in answer ? String(answer.msg) : response.status}`);
    return answer as Record<string, unknown>;
  }
}

const LENIENT = { ignoreUnknownFields: true } as const;

type JsonValue = Parameters<typeof EgressInfo.fromJson>[0];

/** What came out of `response.json()` is JSON. */
function asJson(value: unknown): JsonValue {
  return value as JsonValue;
}
