/** Egresses that a browser draws: a page of its own, or a template of a room. */
import { PageEndedEarly, PageError } from '../web-source/index.ts';
import type { Logger } from 'pino';
import type { WebSource } from '../web-source/index.ts';
import type { EgressRecord } from '../store/types.ts';
import { EgressAborted, EgressError } from './errors.ts';
import type { EgressPlan, EgressSource } from './plan/types.ts';

/** How often an egress without a room looks whether it still holds the fence, ms. */
const FENCE_LOOK_MS = 2000;

/** What is asked of whoever opens pages. */
export interface PageRequest {
  plan: EgressPlan;
  record: EgressRecord;
  attempt: number;
  /** The layout in force, for a template. */
  layout: string | undefined;
  /** The page has ended itself. */
  onEnd: () => void;
  /** It was away for a moment. @param back whether it came back before it was closed */
  onFailure: (reason: string, back: boolean) => void;
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

/**
 * Opens it; answers when what it shows is to be recorded, or nobody wants it any more.
 * @param over settles when nobody does
 * @throws EgressError, EgressAborted
 */
export async function opened(page: WebSource, over: Promise<unknown>): Promise<void> {
  try {
    await Promise.race([page.open(), over]);
  } catch (error) {
    throw pageFailure(error);
  }
}

/**
 * Without a room nobody says that a newer attempt has taken over: this looks.
 * @returns ends it
 */
export function watchFence(
  isFenced: () => Promise<boolean>,
  onFenced: () => void,
  logger: Logger,
): () => void {
  const look = async () => {
    if (await isFenced()) onFenced();
  };
  const timer = setInterval(() => {
    look().catch((error: unknown) => logger.warn({ err: error }, 'fence not looked at'));
  }, FENCE_LOOK_MS);
  return () => clearInterval(timer);
}

/** What went wrong with a page, as an egress ends with it. */
export function pageFailure(error: unknown): unknown {
  if (error instanceof PageEndedEarly) return new EgressAborted(error.message);
  if (!(error instanceof PageError)) return error;
  return new EgressError(error.blame === 'page' ? 'user' : 'internal', error.message, { cause: error });
}
