/** Work that goes on only while the upload is ours. */
import type { Claim, UploadList } from './list.ts';

/**
 * Renews the lease while `work` runs; its signal is aborted when somebody else has the upload, or at `closing`.
 * @param leaseMs renewed three times in it
 */
export async function leased<T>(
  {
    list,
    claim,
    leaseMs,
    closing,
  }: { list: UploadList; claim: Claim; leaseMs: number; closing: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const lost = new AbortController();
  const renewing = setInterval(() => {
    list.renew(claim).then(
      (held) => {
        if (!held) lost.abort(new Error('somebody else has this upload now'));
      },
      // Redis is away: nobody else can take it.
      () => undefined,
    );
  }, leaseMs / 3);
  try {
    return await work(AbortSignal.any([closing, lost.signal]));
  } finally {
    clearInterval(renewing);
  }
}
