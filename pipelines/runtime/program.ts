/** What every program is around its engine: it comes up, answers commands, and ends with a word. */
import GLib from 'gi://GLib?version=2.0';
import System from 'system';

import { listen, say } from './control.ts';
import { initGst } from './gst.ts';
import { processId, warmUp } from './process.ts';

/** How an engine has ended. */
export type End = { ok: true } | { ok: false; message: string; element?: string };

/** Tells how it ended, and ends the process. */
export function exitWith(end: End): void {
  if (end.ok) say({ event: 'eos' });
  else
    say({
      event: 'error',
      message: end.message,
      ...(end.element === undefined ? {} : { element: end.element }),
    });
  System.exit(end.ok ? 0 : 1);
}

/**
 * Runs until the process ends.
 * @param warm elements whose plugins take longest to load
 * @param handle does what a command says; what it returns is the answer, what it throws is the refusal
 */
export function runProgram(warm: readonly string[], handle: (line: { id: number }) => object): void {
  initGst();
  warmUp(warm);
  listen(handle, (reason) => {
    printerr(`worker gone (${reason}): ending`);
    System.exit(2);
  });
  say({ event: 'ready', pid: processId() });
  GLib.MainLoop.new(null, false).run();
}
