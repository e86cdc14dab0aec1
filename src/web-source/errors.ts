/** A page that cannot be recorded (any more). */

/** Its message shows no more of the page's URL than its host. */
export class PageError extends Error {
  override readonly name = 'PageError';
  /** Whose fault it is: the page's and what serves it, or this machine's. */
  readonly blame: 'page' | 'machine';

  constructor(message: string, blame: 'page' | 'machine' = 'page', options?: ErrorOptions) {
    super(message, options);
    this.blame = blame;
  }
}

/** The page was over before it asked to be recorded. */
export class PageEndedEarly extends Error {
  override readonly name = 'PageEndedEarly';
}
