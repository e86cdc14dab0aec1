/** One egress's media: receives tracks from the SFU and writes the segment log and the live tap. */
import GLib from 'gi://GLib?version=2.0';
import System from 'system';

import { listen, say } from '../runtime/control.ts';
import { type End, Engine } from '../egress/engine.ts';
import { initGst } from '../runtime/gst.ts';
import { processId, rssBytes, warmUp } from '../runtime/process.ts';
import type { CommandLine } from '../shared/protocol.ts';

/** Elements whose plugins take longest to load. */
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

let engine: Engine | undefined;

function ended(end: End): void {
  if (end.ok) say({ event: 'eos' });
  else
    say({
      event: 'error',
      message: end.message,
      ...(end.element === undefined ? {} : { element: end.element }),
    });
  System.exit(end.ok ? 0 : 1);
}

function running(): Engine {
  if (!engine) throw new Error('not initialised: send init first');
  return engine;
}

/** Does what a command says; what it returns is the answer. */
function handle(command: CommandLine): object {
  switch (command.cmd) {
    case 'init':
      if (engine) throw new Error('initialised already');
      engine = new Engine(command, say, ended);
      break;
    case 'start':
      running().start();
      break;
    case 'bind': {
      const { trackId, ip, portMin, portMax } = command;
      const range = portMin === undefined || portMax === undefined ? {} : { min: portMin, max: portMax };
      return { port: running().tracks.bind(trackId, ip, range) };
    }
    case 'connect':
      running().tracks.connect(command);
      break;
    case 'disconnect':
      running().tracks.disconnect(command.trackId);
      break;
    case 'setMuted':
      running().tracks.setMuted(command.trackId, command.muted);
      break;
    case 'layout':
      running().program.layout(command.tiles);
      break;
    case 'keyFrame':
      running().program.keyFrame();
      break;
    case 'chunking':
      running().chunking(command.minDurationNs);
      break;
    case 'describe':
      return running().describe();
    case 'ping':
      return { rssBytes: rssBytes() };
    case 'stop':
      running().stop();
      break;
    default:
      throw new Error(`unknown command ${(command as { cmd: string }).cmd}`);
  }
  return {};
}

initGst();
warmUp(WARM);
const onCommand = (line: { id: number }): object => handle(line as CommandLine);
listen(onCommand, (reason) => {
  printerr(`worker gone (${reason}): ending`);
  System.exit(2);
});
say({ event: 'ready', pid: processId() });
GLib.MainLoop.new(null, false).run();
