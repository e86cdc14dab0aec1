/** What the store refuses. Codes are Twirp's. */
export class StoreError extends Error {
  readonly code: 'already_exists' | 'aborted' | 'data_loss';
  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}
