/** A request for an ingress that cannot be carried out, and why. Messages hold no secret, and begin as LiveKit's. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  /** Twirp's code. */
  readonly code = 'invalid_argument';
}

export const invalidIngress = (why: string) => new RequestError(`invalid ingress: ${why}`);
export const invalidVideo = (why: string) => new RequestError(`invalid video parameters: ${why}`);
export const invalidAudio = (why: string) => new RequestError(`invalid audio parameters: ${why}`);
export const invalidBypass = (why: string) =>
  new RequestError(`invalid transcoding bypass configuration: ${why}`);
