/** The bytes are not the container they should be, or lack what a stream must begin with. */
export class InspectError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'InspectError';
  }
}
