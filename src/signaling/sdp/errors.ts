/**
 * What is wrong with a description: `syntax` it cannot be read, `media` nothing in it can be used, `bundle`
 * its sections do not share one transport, `ice` / `dtls` its transport cannot be set up, `codec` no codec in
 * common, `rtp` its streams cannot be told apart.
 */
export type SdpProblem = 'syntax' | 'media' | 'bundle' | 'ice' | 'dtls' | 'codec' | 'rtp';

/** The only error this family of modules throws. Its message says what was wrong and what would be right. */
export class SdpError extends Error {
  readonly problem: SdpProblem;
  constructor(problem: SdpProblem, message: string) {
    super(message);
    this.name = 'SdpError';
    this.problem = problem;
  }
}

/** A piece of a stranger's text, short and printable enough to be quoted in a message. */
export function quote(value: string): string {
  const printable = value.replaceAll(/[^\x20-\x7e]/g, '?');
  return `"${printable.length > 40 ? `${printable.slice(0, 40)}...` : printable}"`;
}
