/** One egress's media: receives tracks from the SFU and writes the segment log and the live tap. */
import { say } from '../runtime/control.ts';
import { Engine } from '../egress/engine.ts';
import { rssBytes } from '../runtime/process.ts';
import { exitWith, runProgram } from '../runtime/program.ts';
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
  'dvbsuboverlay',
  'proxysink',
];

let engine: Engine | undefined;

function running(): Engine {
  if (!engine) throw new Error('not initialised: send init first');
  return engine;
}

/** Does what a command says; what it returns is the answer. */
function handle(command: CommandLine): object {
  switch (command.cmd) {
    case 'init':
      if (engine) throw new Error('initialised already');
      engine = new Engine(command, say, exitWith);
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
      running().program.layout(command.tiles, command.background);
      break;
    case 'keyFrame':
      running().program.keyFrame();
      break;
    case 'hide':
      running().program.hide(command.hidden);
      break;
    case 'openTap':
      running().openTap();
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

runProgram(WARM, (line) => handle(line as CommandLine));
