/** HTTP agents that connect to nothing but what the policy allows: every connection, to the very address it checked. */
import { Agent as HttpAgent } from 'node:http';
import type { ClientRequestArgs } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AddressPolicy } from './policy.ts';
import { plainHost } from './policy.ts';

type Created = (error: Error | null, stream: Duplex) => void;
type Options = ClientRequestArgs & { servername?: string };

export interface CheckedAgents {
  http: HttpAgent;
  /** For `https:`, also where it is no https.Agent by its class. */
  https: HttpAgent;
}

/**
 * For any client that follows no redirects by itself, or through these agents. A request to what may not be reached
 * fails with a GuardError. The caller destroys both.
 */
export function checkedAgents(policy: AddressPolicy): CheckedAgents {
  const options = { keepAlive: true };
  return { http: new CheckedHttp(policy, options), https: new CheckedHttps(policy, options) };
}

class CheckedHttp extends HttpAgent {
  readonly #policy: AddressPolicy;

  constructor(policy: AddressPolicy, options: ConstructorParameters<typeof HttpAgent>[0]) {
    super(options);
    this.#policy = policy;
  }

  override createConnection(options: Options, created: Created = () => undefined): undefined {
    connectChecked(this.#policy, options, created, (checked) => super.createConnection(checked));
  }
}

class CheckedHttps extends HttpsAgent {
  readonly #policy: AddressPolicy;

  constructor(policy: AddressPolicy, options: ConstructorParameters<typeof HttpsAgent>[0]) {
    super(options);
    this.#policy = policy;
  }

  override createConnection(options: Options, created: Created = () => undefined): undefined {
    connectChecked(this.#policy, options, created, (checked) => super.createConnection(checked));
  }
}

function connectChecked(
  policy: AddressPolicy,
  options: Options,
  created: Created,
  connect: (options: Options) => Duplex | null | undefined,
): void {
  const connected = async (): Promise<Duplex> => {
    const host = options.host ?? options.hostname ?? '';
    const address = await policy.resolve(host);
    const name = plainHost(host);
    const stream = connect({
      ...{ ...options, host: address },
      // The certificate is to be the name's, whatever address it stands for.
      ...(isIP(name) === 0 ? { servername: options.servername || name } : {}),
    });
    if (!stream) throw new Error('no connection was made');
    return stream;
  };
  connected().then(
    (stream) => created(null, stream),
    // As Node calls it, without a stream.
    (error: unknown) => (created as (error: unknown) => void)(error),
  );
}
