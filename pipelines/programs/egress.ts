/** One egress's media: receives tracks from the SFU and writes the segment log and the live tap. */
import GLib from 'gi://GLib?version=2.0';
import System from 'system';

import { listen, say } from '../egress/control.ts';
import { type End, Engine } from '../egress/engine.ts';
import { initGst } from '../egress/gst.ts';
import { processId, rssBytes, warmUp } from '../egress/process.ts';
import type { CommandLine } from '../shared/protocol.ts';

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

function handle(command: CommandLine): unknown {
  switch (command.cmd) {
    case 'init':
      if (engine) throw new Error('initialised already');
      engine = new Engine(command, say, ended);
      return {};
    case 'start':
      return running().start();
    case 'bind': {
      const { trackId, ip, portMin, portMax } = command;
      const range = portMin === undefined || portMax === undefined ? {} : { min: portMin, max: portMax };
      return { port: running().tracks.bind(trackId, ip, range) };
    }
    case 'connect':
      return running().tracks.connect(command);
    case 'disconnect':
      return running().tracks.disconnect(command.trackId);
    case 'setMuted':
      return running().tracks.setMuted(command.trackId, command.muted);
    case 'layout':
      return running().program.layout(command.tiles);
    case 'keyFrame':
      return running().program.keyFrame();
    case 'chunking':
      return running().chunking(command.minDurationNs);
    case 'describe':
      return running().describe();
    case 'ping':
      return { rssBytes: rssBytes() };
    case 'stop':
      return running().stop();
    default:
      throw new Error(`unknown command ${(command as { cmd: string }).cmd}`);
  }
}

initGst();
warmUp();
listen(handle, (reason) => {
  printerr(`worker gone (${reason}): ending`);
  System.exit(2);
});
say({ event: 'ready', pid: processId() });
GLib.MainLoop.new(null, false).run();
