/** How FFmpeg gets to a destination: to the very address the outbound policy has allowed, and no other. */
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { plainHost } from '../../../outbound/index.ts';
import type { AddressPolicy } from '../../../outbound/index.ts';
import { reachedAt } from './target.ts';
import type { StreamTarget } from './target.ts';
import { TlsGate } from './tls-gate.ts';

export interface Way {
  /** What FFmpeg is to be given. */
  target: StreamTarget;
  /** Why it led nowhere, where that is known better than FFmpeg tells. */
  failure(): string | undefined;
  /** Lets go of what it owns, once FFmpeg has ended. */
  close(): Promise<void>;
}

const RTMPS_PORT = 443;

/**
 * A way for one connection: the next one is checked anew.
 * @param policy undefined: the target is trusted
 * @throws GuardError when it leads where it may not, or the name cannot be resolved
 */
export async function findWay(
  target: StreamTarget,
  policy: AddressPolicy | undefined,
  caFile: string | undefined,
): Promise<Way> {
  const open = { failure: () => undefined, close: async () => undefined };
  if (!policy) return { target, ...open };
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(target.host) ?? [];
  const address = await policy.resolve(host);
  if (target.protocol !== 'rtmps') {
    const named = isIPv6(address) ? `[${address}]` : address;
    return { target: reachedAt(target, port === undefined ? named : `${named}:${port}`), ...open };
  }
  const gate = await TlsGate.open({
    ...{ address, port: port === undefined ? RTMPS_PORT : Number(port), name: plainHost(host) },
    ...(caFile === undefined ? {} : { ca: await readFile(caFile) }),
  });
  return {
    target: { ...reachedAt(target, `127.0.0.1:${gate.port}`, 'rtmp') },
    failure: () => gate.failure,
    close: () => gate.close(),
  };
}
