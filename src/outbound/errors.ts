/** Something that may not be reached, or cannot be. Its message shows no credential. */
export class GuardError extends Error {
  override readonly name = 'GuardError';
  /** True for what may be better later: a name that is not known (yet). */
  readonly retry: boolean;
  constructor(message: string, options: { retry: boolean; cause?: unknown } = { retry: false }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retry = options.retry;
  }
}
