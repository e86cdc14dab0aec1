/** The process itself. */
import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';

/** Elements whose plugins take longest to load; a spare process has them ready before it has work. */
const WARM = [
  'rtpbin',
  'udpsrc',
  'rtph264depay',
  'h264parse',
  'avdec_h264',
  'opusdec',
  'audiomixer',
  'audiotestsrc',
  'audioresample',
  'avenc_aac',
  'compositor',
  'videotestsrc',
  'x264enc',
  'mpegtsmux',
  'multifilesink',
  'capssetter',
  'proxysink',
];

/** Loads the plugins every program needs. */
export function warmUp(): void {
  for (const factory of WARM) Gst.ElementFactory.make(factory, null);
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
