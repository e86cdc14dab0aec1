/** ICE servers as a client gets them. */
import { createHmac } from 'node:crypto';
import type { IceServerConfig } from './types.ts';

export interface ClientIceServer {
  urls: string[];
  username?: string;
  credential?: string;
}

/**
 * The configured servers with credentials for one client. Those with a shared secret get a user name that expires,
 * and its HMAC, as coturn's `use-auth-secret` (draft-uberti-behave-turn-rest-00) checks them.
 */
export function clientIceServers(
  servers: readonly IceServerConfig[],
  client: { identity: string; nowMs?: number },
): ClientIceServer[] {
  const nowSeconds = Math.floor((client.nowMs ?? Date.now()) / 1000);
  return servers.map((server) => {
    const urls = [...server.urls];
    if (server.secret !== undefined) {
      const username = `${nowSeconds + server.ttl}:${client.identity}`;
      return {
        urls,
        username,
        credential: createHmac('sha1', server.secret).update(username).digest('base64'),
      };
    }
    if (server.username === undefined || server.credential === undefined) return { urls };
    return { urls, username: server.username, credential: server.credential };
  });
}
