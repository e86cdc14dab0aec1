/** Egresses that a browser draws: a page of its own, or a template of a room. */
import { PageEndedEarly, PageError } from '../web-source/index.ts';
import type { WebSource } from '../web-source/index.ts';
import type { EgressRecord } from '../store/types.ts';
import { EgressAborted, EgressError } from './errors.ts';
import type { EgressPlan, EgressSource } from './plan-types.ts';

/** What is asked of whoever opens pages. */
export interface PageRequest {
  plan: EgressPlan;
  record: EgressRecord;
  attempt: number;
  /** The layout in force, for a template. */
  layout: string | undefined;
  /** The page has ended itself. */
  onEnd: () => void;
  /** It failed, and is being brought back. */
  onFailure: (reason: string) => void;
  onFatal: (error: PageError) => void;
}

/** Not opened yet; the caller closes it. */
export type PageFactory = (request: PageRequest) => Promise<WebSource>;

/** Whether a browser draws it. */
export function isPage(source: EgressSource): boolean {
  return source.type === 'web' || (source.type === 'room' && source.customBaseUrl !== undefined);
}

/** Whether it has to do with no room at all: there is nothing to join. */
export function isRoomless(source: EgressSource): boolean {
  return source.type === 'web';
}

/** What went wrong with a page, as an egress ends with it. */
export function pageFailure(error: unknown): unknown {
  if (error instanceof PageEndedEarly) return new EgressAborted(error.message);
  if (!(error instanceof PageError)) return error;
  return new EgressError(error.blame === 'page' ? 'user' : 'internal', error.message, { cause: error });
}
