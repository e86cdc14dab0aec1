/** A request that cannot become a plan, and why. Messages hold no secret. */
export class RequestError extends Error {
  /** Twirp's codes. */
  readonly code: 'invalid_argument' | 'unimplemented';
  /** Field of the request, in its JSON spelling with underscores. */
  readonly field: string;
  constructor(code: RequestError['code'], field: string, message: string) {
    super(message);
    this.name = 'RequestError';
    this.code = code;
    this.field = field;
  }
}

/** LiveKit's words, then what would be right. */
export function invalid(field: string, why: string): RequestError {
  return new RequestError(
    'invalid_argument',
    field,
    `request has missing or invalid field: ${field}: ${why}`,
  );
}

/** A feature of LiveKit's that is not there, by name. */
export function unimplemented(field: string, feature: string, instead?: string): RequestError {
  return new RequestError(
    'unimplemented',
    field,
    `${feature} is not implemented${instead === undefined ? '' : `; ${instead}`}`,
  );
}
