/** Why a request was not let in. */

/**
 * `unauthenticated`: no token, or one that does not hold. `permission_denied`: a good token without the
 * grant. Twirp answers both as 401 `unauthenticated`, as LiveKit does; WHIP and WHEP tell them apart.
 */
export class AuthError extends Error {
  readonly code: 'unauthenticated' | 'permission_denied';
  constructor(code: AuthError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AuthError';
    this.code = code;
  }
}

/** LiveKit's words for a missing token and for a missing grant. */
export const PERMISSIONS_DENIED = 'permissions denied';

/** A good token that does not grant what was asked for. */
export function permissionDenied(): AuthError {
  return new AuthError('permission_denied', PERMISSIONS_DENIED);
}
