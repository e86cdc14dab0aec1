/** Short reasons for people, from what FFmpeg wrote before it ended. Pure. */

export interface Reason {
  message: string;
  /** False when trying again cannot help. */
  retry: boolean;
}

/** The first that fits one of the lines, the last line first. */
const KNOWN: readonly [RegExp, Reason][] = [
  [
    /401 Unauthorized|authorization failed/i,
    { message: 'the source refused the user name or password', retry: true },
  ],
  [/403 Forbidden|access denied/i, { message: 'the source refuses to give it (403)', retry: true }],
  [/404 (Stream )?Not Found/i, { message: 'the source has nothing at this path (404)', retry: true }],
  [
    /(461|Unsupported transport)/i,
    {
      message: 'the source does not offer this transport: #transport=udp and #transport=tcp choose one',
      retry: true,
    },
  ],
  [/454 Session Not Found|453 Not Enough/i, { message: 'the source ended the session', retry: true }],
  [
    /Server returned (4\d\d|5\w\w)|\b(5\d\d) [A-Z][a-z]+ |method \w+ failed: (\d{3})/,
    { message: 'the source answered with an error', retry: true },
  ],
  [/Incorrect passphrase/, { message: 'the passphrase is wrong', retry: true }],
  [
    /Password required or unexpected/,
    { message: 'one side has a passphrase and the other has none', retry: true },
  ],
  [
    /:(1403|1401|1404|1402)\b|REJECT.*(forbidden|peer rejected)/i,
    { message: 'the other side refused the streamid', retry: true },
  ],
  [/Connection refused/, { message: 'the connection was refused', retry: true }],
  [/timed out|ETIMEDOUT|Connection timeout/i, { message: 'the source does not answer', retry: true }],
  [/No route to host|Network is unreachable/, { message: 'there is no way to the source', retry: true }],
  [
    /Stream ends prematurely|Connection reset|Broken pipe/,
    { message: 'the connection broke off', retry: true },
  ],
  [/does not contain any stream/, { message: 'there is no audio and no video in it', retry: false }],
  [/not on whitelist/i, { message: 'this kind of source may not be read', retry: false }],
  [
    /moov atom not found|Invalid data found|Not detecting m3u8/,
    { message: 'what came is no media that can be read', retry: false },
  ],
  [/Address already in use/, { message: 'the port is in use', retry: true }],
  [/Connection to srt:.* failed/, { message: 'the other side does not answer', retry: true }],
];

/** Undefined when nothing that is known was said. @param lines FFmpeg's last, in order */
export function reasonFrom(lines: readonly string[]): Reason | undefined {
  for (const [pattern, reason] of KNOWN) if (lines.some((line) => pattern.test(line))) return reason;
  return undefined;
}

/** Matroska was asked for audio it can only take decoded, or FFmpeg could not write its header. */
export function needsDecodedAudio(lines: readonly string[]): boolean {
  return lines.some((line) =>
    /Error parsing AAC extradata|unable to determine samplerate|No wav codec tag found/.test(line),
  );
}

/** What broke off although FFmpeg takes it for the end. */
export function brokeOff(lines: readonly string[]): boolean {
  return lines.some(
    (line) =>
      !line.includes('Will reconnect') &&
      /Stream ends prematurely|Input\/output error|timed out|Connection reset/.test(line),
  );
}
