/** What the other side did wrong; the connection ends with it. The message is for people and holds nothing secret. */
export class RtmpError extends Error {
  override readonly name = 'RtmpError';
}
