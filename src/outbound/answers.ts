/** What the guard's proxy does with the bodies and failures of answers. */
import { redactText } from '../redact.ts';
import { GuardError } from './errors.ts';

const MAX_PLAYLIST = 4 * 1024 * 1024;

/** What was read already, and then the rest. */
export async function* rest(head: Buffer, chunks: AsyncIterator<Buffer, undefined>): AsyncGenerator<Buffer> {
  try {
    if (head.length > 0) yield head;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
  } finally {
    // Tears the connection down when its reader has gone.
    await chunks.return?.();
  }
}

/** A whole playlist. @throws GuardError when it is absurdly large */
export async function playlistText(head: Buffer, chunks: AsyncIterator<Buffer, undefined>): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of rest(head, chunks)) {
    size += part.length;
    if (size > MAX_PLAYLIST)
      throw new GuardError(`the playlist is larger than ${MAX_PLAYLIST / 1024 / 1024} MB`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Why a request did not get an answer, for people. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'ETIMEDOUT') return 'no answer';
  if (code === 'ECONNRESET') return 'the connection broke off';
  if (code?.startsWith('ERR_TLS') || /CERT|SELF_SIGNED/.test(code ?? '')) {
    return `its certificate is not trusted (${message}): #certificate=any behind the URL would take it`;
  }
  return redactText(message);
}
