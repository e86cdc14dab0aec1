/** Twirp errors: one catalogue of codes and HTTP statuses, and what becomes of everybody else's errors. */

/** Codes and the HTTP status each is answered with, as in the Twirp specification. */
export const TWIRP_STATUS = {
  canceled: 408,
  unknown: 500,
  invalid_argument: 400,
  malformed: 400,
  deadline_exceeded: 408,
  not_found: 404,
  bad_route: 404,
  already_exists: 409,
  permission_denied: 403,
  unauthenticated: 401,
  resource_exhausted: 429,
  failed_precondition: 412,
  aborted: 409,
  out_of_range: 400,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  data_loss: 500,
} as const;

export type TwirpCode = keyof typeof TWIRP_STATUS;

/** An answer of a Twirp method that is not its result. */
export class TwirpError extends Error {
  readonly code: TwirpCode;
  readonly meta: Readonly<Record<string, string>> | undefined;
  /** HTTP status, when it is not the code's own. */
  readonly status: number;
  constructor(
    code: TwirpCode,
    message: string,
    options?: ErrorOptions & { meta?: Record<string, string>; status?: number },
  ) {
    super(message, options);
    this.name = 'TwirpError';
    this.code = code;
    this.meta = options?.meta;
    this.status = options?.status ?? TWIRP_STATUS[code];
  }

  /** The JSON body. */
  body(): { code: TwirpCode; msg: string; meta?: Readonly<Record<string, string>> } {
    return { code: this.code, msg: this.message, ...(this.meta ? { meta: this.meta } : {}) };
  }
}

/** Errors of ours that say their own Twirp code, and whose messages are made to be shown. */
const SPEAKING_ERRORS: ReadonlySet<string> = new Set(['SfuError', 'RequestError', 'StoreError']);

const isTwirpCode = (code: unknown): code is TwirpCode =>
  typeof code === 'string' && Object.hasOwn(TWIRP_STATUS, code);

/**
 * The Twirp error for whatever was thrown. Unknown errors become `internal` without their message, which may
 * hold anything; the caller logs them.
 */
export function toTwirpError(error: unknown): TwirpError {
  if (error instanceof TwirpError) return error;
  if (error instanceof Error && 'code' in error) {
    // LiveKit answers a missing token and a missing grant alike.
    if (error.name === 'AuthError') return new TwirpError('unauthenticated', error.message, { cause: error });
    // What an egress would fail with because of the request, found before it is queued.
    if (error.name === 'EgressError')
      return new TwirpError('invalid_argument', error.message, { cause: error });
    if (SPEAKING_ERRORS.has(error.name) && isTwirpCode(error.code)) {
      return new TwirpError(error.code, error.message, { cause: error });
    }
  }
  return new TwirpError('internal', 'internal error: see the log of the server', { cause: error });
}
