/** From what FFmpeg says when a destination fails to a sentence somebody can act on (pure). */

const REASONS: readonly (readonly [RegExp, (host: string, match: RegExpExecArray) => string])[] = [
  // The server's own words come first: they are the cause, what follows is the consequence.
  [/Server error: (.+)/, (host, match) => `${host} rejected the stream: ${match[1] ?? ''}`],
  [/already publishing|BadName/i, (host) => `${host} rejected the stream: its key is in use or not valid`],
  [/Incorrect passphrase/, (host) => `${host} rejected the stream: the passphrase is wrong`],
  [
    /Password required or unexpected/,
    (host) => `${host} rejected the stream: one side has a passphrase and the other has none`,
  ],
  // SRT's own codes (access control): 14xx.
  [/:1[40]\d\d\b.*REJECT|REJECT.*(forbidden|peer rejected|ERROR:)/i, (host) => `${host} rejected the stream`],
  // SRT's; the URL may be hidden already.
  [/Connection to .* failed: Input\/output error/, (host) => `${host} did not answer in time`],
  [/Connection refused/, (host) => `connection refused by ${host}`],
  [/Connection timed out|Operation timed out|ETIMEDOUT/, (host) => `${host} did not answer in time`],
  [
    /Failed to resolve hostname|Name or service not known|Temporary failure in name resolution/,
    (host) => `the name of ${host} cannot be resolved`,
  ],
  [/No route to host|Network is unreachable|Host is down/, (host) => `there is no way to ${host}`],
  [
    /certificate|TLS|gnutls/i,
    (host) => `no secure connection to ${host}: its certificate or TLS was refused`,
  ],
  [
    /Broken pipe|Connection reset|Input\/output error|End of file|Error number -10053/,
    (host) => `${host} closed the connection`,
  ],
];

/** @param lines FFmpeg's last lines, redacted */
export function explainFailure(lines: readonly string[], host: string): string {
  for (const [pattern, explain] of REASONS) {
    for (const line of lines) {
      const match = pattern.exec(line);
      if (match) return explain(host, match);
    }
  }
  const last = lines.at(-1);
  return last === undefined ? `the stream to ${host} ended` : `the stream to ${host} failed: ${last}`;
}
