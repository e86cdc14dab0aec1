/** A file of this machine. FFmpeg gets it opened, so that it is the one that was checked. */
import { FILE_FORMATS } from './arguments.ts';
import type { UrlPlan } from './plan.ts';
import type { Source, SourceContext } from './source.ts';

/** @throws GuardError */
export async function openFileSource(
  plan: UrlPlan & { kind: 'file' },
  { guard }: SourceContext,
): Promise<Source> {
  const file = await guard.openFile(plan.url.href);
  return {
    options: [
      ...['-protocol_whitelist', 'file', '-format_whitelist', FILE_FORMATS],
      ...(plan.loop ? ['-stream_loop', '-1'] : []),
    ],
    url: 'file:/proc/self/fd/3',
    files: [file.fd],
    network: 'none',
    secrets: [],
    pacing: 'timestamps',
    silenceMs: () => undefined,
    failure: () => undefined,
    endOf: () => ({ type: 'complete' }),
    close: () => file.close(),
  };
}
