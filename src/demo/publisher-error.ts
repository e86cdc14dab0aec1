/** What a test publisher throws; the message says what was wrong and holds no token. */
export class PublisherError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PublisherError';
  }
}
