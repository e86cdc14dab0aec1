/** What a session needs of the server it is on. */
import type { Logger } from 'pino';
import type { Sfu } from '../../sfu/types.ts';
import type { IngressStore } from '../../store/ingress-types.ts';

export type WhipStore = Pick<
  IngressStore,
  'byStreamKey' | 'get' | 'beginSession' | 'renewLease' | 'saveState' | 'endSession' | 'onChange'
>;

export interface WhipSessionParts {
  sfu: Sfu;
  store: WhipStore;
  /** Where jobs for workers go. */
  queue: { add(ingressId: string, attempt: number): Promise<unknown> };
  /** How long a publisher whose connection was lost may take to return, ms. */
  graceMs: number;
  leaseMs: number;
  bridgeUrl: () => string;
  logger: Logger;
}
