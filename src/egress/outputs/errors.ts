/** An output that cannot be made. */

export type OutputErrorCode =
  /** The log holds no media. */
  | 'empty'
  /** The log's codecs do not go into that kind of file. */
  | 'unsupported'
  /** Not enough room on the disk. */
  | 'no_space'
  /** The finished file holds fewer frames than the log. */
  | 'frames_lost'
  /** The log's files cannot be read, or changed while they were. */
  | 'damaged';

export class OutputError extends Error {
  readonly code: OutputErrorCode;
  constructor(code: OutputErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'OutputError';
    this.code = code;
  }
}
