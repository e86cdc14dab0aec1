/** HTTP agents that go through a proxy that a request named: the proxy is what the policy decides about. */
import type { ClientRequest } from 'node:http';
import { isIP } from 'node:net';
import type { Socket } from 'node:net';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';
import type { CheckedAgents } from './agents.ts';
import { plainHost } from './policy.ts';
import type { AddressPolicy } from './policy.ts';

/**
 * `https:` goes through CONNECT, `http:` is asked of the proxy; its requests must not have an `Expect`, for their header
 * would be written before the proxy's part is in it. What is beyond the proxy is the proxy's to resolve. A
 * proxy that may not be reached fails the request with a GuardError. The caller destroys both.
 * @param proxy `http:` or `https:`, with the user and password the proxy asks for
 */
export function proxyAgents(proxy: URL, policy: AddressPolicy): CheckedAgents {
  return {
    http: new CheckedHttpProxy(proxy, policy, { keepAlive: true }),
    https: new CheckedTunnel(proxy, policy, { keepAlive: true }),
  };
}

class CheckedTunnel extends HttpsProxyAgent<string> {
  readonly #policy: AddressPolicy;

  constructor(proxy: URL, policy: AddressPolicy, options: { keepAlive: boolean }) {
    super(proxy, options);
    this.#policy = policy;
  }

  override async connect(
    request: ClientRequest,
    options: Parameters<HttpsProxyAgent<string>['connect']>[1],
  ): Promise<Socket> {
    await pointAt(this, this.#policy);
    return super.connect(request, options);
  }
}

type ProxiedRequest = Parameters<HttpProxyAgent<string>['connect']>[0];

class CheckedHttpProxy extends HttpProxyAgent<string> {
  readonly #policy: AddressPolicy;

  constructor(proxy: URL, policy: AddressPolicy, options: { keepAlive: boolean }) {
    super(proxy, options);
    this.#policy = policy;
  }

  override async connect(
    request: ProxiedRequest,
    options: Parameters<HttpProxyAgent<string>['connect']>[1],
  ): Promise<Socket> {
    await pointAt(this, this.#policy);
    return super.connect(request, options);
  }
}

/** The very address that was checked is connected to, and the certificate is the name's. */
async function pointAt(
  agent: Pick<HttpsProxyAgent<string>, 'proxy' | 'connectOpts'>,
  policy: AddressPolicy,
): Promise<void> {
  const name = plainHost(agent.proxy.hostname);
  agent.connectOpts.host = await policy.resolve(name);
  if (isIP(name) === 0) agent.connectOpts.servername = name;
}
