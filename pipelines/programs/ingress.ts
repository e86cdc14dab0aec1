/** One ingress run's media: decodes or copies what comes in, and sends it to the SFU as RTP. */
import GLib from 'gi://GLib?version=2.0';
import System from 'system';

import { Engine } from '../ingress/engine.ts';
import { say } from '../runtime/control.ts';
import { rssBytes } from '../runtime/process.ts';
import { exitWith, runProgram } from '../runtime/program.ts';
import type { IngressCommandLine } from '../shared/ingress-protocol.ts';

/** Elements whose plugins take longest to load. */
const WARM = [
  ...[
    'fdsrc',
    'flvdemux',
    'matroskademux',
    'h264parse',
    'avdec_h264',
    'decodebin',
    'videoflip',
    'videoconvert',
  ],
  ...[
    'videorate',
    'videoscale',
    'x264enc',
    'rtph264pay',
    'audioconvert',
    'audioresample',
    'opusenc',
    'opusparse',
  ],
  ...['rtpbin', 'rtpfunnel', 'udpsrc', 'srtpenc'],
];

let engine: Engine | undefined;

function running(): Engine {
  if (!engine) throw new Error('not initialised: send init first');
  return engine;
}

function range({ portMin, portMax }: { portMin?: number; portMax?: number }): { min?: number; max?: number } {
  return portMin === undefined || portMax === undefined ? {} : { min: portMin, max: portMax };
}

/** Does what a command says; what it returns is the answer. */
function handle(command: IngressCommandLine): object {
  switch (command.cmd) {
    case 'init':
      if (engine) throw new Error('initialised already');
      engine = new Engine(command, say, exitWith);
      break;
    case 'bind':
      return { port: running().bind(command.kind, command.ip, range(command)) };
    case 'connect':
      running().connect(command);
      break;
    case 'bindInput':
      return { port: running().input.bind(command.kind, command.ip, range(command)) };
    case 'connectInput':
      running().input.connect(command);
      break;
    case 'start':
      running().start();
      break;
    case 'layerSizes':
      running().layerSizes(command.sizes);
      break;
    case 'keyFrame':
      running().keyFrame();
      break;
    case 'describe':
      return running().describe();
    case 'ping':
      return { rssBytes: rssBytes() };
    case 'stop':
      // Answered first: it ends the process.
      GLib.idle_add(GLib.PRIORITY_DEFAULT, () => {
        if (engine) engine.stop();
        else System.exit(0);
        return GLib.SOURCE_REMOVE;
      });
      break;
    default:
      throw new Error(`unknown command ${(command as { cmd: string }).cmd}`);
  }
  return {};
}

runProgram(WARM, (line) => handle(line as IngressCommandLine));
