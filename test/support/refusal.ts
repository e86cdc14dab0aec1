/** What planning a request is refused with. */
import { RequestError } from '../../src/egress/request/errors.ts';

/** @throws Error when the request is planned after all */
export function refusalOf(plan: () => unknown): RequestError {
  try {
    plan();
  } catch (error) {
    if (error instanceof RequestError) return error;
    throw error;
  }
  throw new Error('the request was not refused');
}
