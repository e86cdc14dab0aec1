/** The process itself. */
import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';

/** Loads the plugins of these elements: a spare process has them ready before it has work. */
export function warmUp(factories: readonly string[]): void {
  for (const factory of factories) Gst.ElementFactory.make(factory, null);
}

export function processId(): number {
  return new Gio.Credentials().get_unix_pid();
}

/** Resident memory, as proc(5) has it. */
export function rssBytes(): number {
  const [, contents] = GLib.file_get_contents('/proc/self/status');
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(new TextDecoder().decode(contents))?.[1];
  return Number(kilobytes ?? 0) * 1024;
}
