/** JSON lines between the test publisher and its parent, on stdin and stdout. */
import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';

import type { PublisherCommand, PublisherEvent } from './protocol.ts';

/** Writes one event; the parent sees it at once. */
export function say(event: PublisherEvent): void {
  print(JSON.stringify(event));
}

/**
 * Calls `command` for each line on stdin, in order, and `end` once when stdin closes (the parent is gone)
 * or cannot be read.
 */
export function listen(command: (command: PublisherCommand) => void, end: () => void): void {
  const stream = new Gio.DataInputStream({
    base_stream: new Gio.UnixInputStream({ fd: 0, close_fd: false }),
  });
  const next = (): void => {
    stream.read_line_async(GLib.PRIORITY_DEFAULT, null, (_, result) => {
      let line: string | null;
      try {
        [line] = stream.read_line_finish_utf8(result);
      } catch {
        line = null;
      }
      if (line === null) {
        end();
        return;
      }
      if (line.trim()) command(JSON.parse(line) as PublisherCommand);
      next();
    });
  };
  next();
}
