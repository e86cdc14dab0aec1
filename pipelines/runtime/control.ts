/** A program's conversation with its worker: JSON lines, see pipelines/shared/protocol.ts. */
import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';

import type { IngressEvent } from '../shared/ingress-protocol.ts';
import type { AnswerLine, PipelineEvent } from '../shared/protocol.ts';
import { PARENT_TIMEOUT_MS } from '../shared/protocol.ts';
import { every, monotonicMs } from './gst.ts';

/** Writes one line to stdout, at once. */
export function say(line: AnswerLine | PipelineEvent | IngressEvent): void {
  print(JSON.stringify(line));
}

/**
 * Hands every command to `handle` and answers with what it returns, or with what it throws.
 * @param gone called once when the worker is gone: stdin ended, or it said nothing for {@link PARENT_TIMEOUT_MS}
 */
export function listen(handle: (command: { id: number }) => object, gone: (reason: string) => void): void {
  const stdin = new Gio.UnixInputStream({ fd: 0, close_fd: false });
  const lines = new Gio.DataInputStream({ base_stream: stdin });
  let heardMs = monotonicMs();
  const next = (): void => {
    lines.read_line_async(GLib.PRIORITY_DEFAULT, null, (_, result) => {
      const line = finishLine(lines, result);
      if (line === null) {
        gone('stdin ended');
        return;
      }
      heardMs = monotonicMs();
      if (line.trim()) answer(line, handle);
      next();
    });
  };
  next();
  every(1000, () => {
    const silentMs = monotonicMs() - heardMs;
    if (silentMs < PARENT_TIMEOUT_MS) return true;
    gone(`no line for ${Math.round(silentMs)} ms`);
    return false;
  });
}

function finishLine(lines: Gio.DataInputStream, result: Gio.AsyncResult): string | null {
  try {
    return lines.read_line_finish_utf8(result)[0];
  } catch {
    return null;
  }
}

function answer(line: string, handle: (command: { id: number }) => object): void {
  let id = -1;
  try {
    const command = JSON.parse(line) as { id: number };
    id = command.id;
    say({ id, ok: handle(command) });
  } catch (error) {
    say({ id, error: error instanceof Error ? error.message : String(error) });
  }
}
