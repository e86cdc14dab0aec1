/** Pages of ListEgress. Who sends no page_token, as clients without pages do, is answered everything at once. */
import { ListEgressResponse, TokenPagination } from '@livekit/protocol';
import type { EgressInfo } from '@livekit/protocol';
import { TwirpError } from './errors.ts';

/** Items of a page. */
const PAGE = 100;

const EGRESS_ID = /^EG_\w{1,64}$/;

/** A token is the last item that was answered; whoever has it learns nothing new. */
function tokenOf(egressId: string): string {
  return Buffer.from(egressId).toString('base64url');
}

/**
 * The page behind a token, newest first; an empty token is before the first page. New egresses come before every
 * page that is still to be asked for, so that nothing is answered twice or left out.
 *
 * @param items all that the request asks for, in the same order each time
 * @throws TwirpError `invalid_argument` for a token that is none, or whose egress has been forgotten since
 */
export function pageOf(items: readonly EgressInfo[], token: string, size = PAGE): ListEgressResponse {
  const begin = token === '' ? 0 : 1 + items.findIndex((info) => info.egressId === lastOf(token));
  if (begin === 0 && token !== '') {
    throw wrongToken('its egress is not listed any more; begin again without one');
  }
  const page = items.slice(begin, begin + size);
  const last = page.at(-1);
  const more = last !== undefined && begin + size < items.length;
  return new ListEgressResponse({
    items: page,
    ...(more && { nextPageToken: new TokenPagination({ token: tokenOf(last.egressId) }) }),
  });
}

function lastOf(token: string): string {
  const egressId = token.length > 200 ? '' : Buffer.from(token, 'base64url').toString();
  if (!EGRESS_ID.test(egressId) || tokenOf(egressId) !== token) {
    throw wrongToken('it is none of ours; use next_page_token of the page before');
  }
  return egressId;
}

function wrongToken(why: string): TwirpError {
  return new TwirpError('invalid_argument', `request has missing or invalid field: page_token: ${why}`);
}
