/**
 * A participant for tests and demos, run by gjs: a moving, flashing, beeping picture published by WebRTC
 * with real ICE, DTLS and SRTP. The parent does the WHIP exchange; see pipelines/publisher/protocol.ts.
 */
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';
import System from 'system';

import { Feeder } from '../publisher/feeder.ts';
import { listen, say } from '../publisher/lines.ts';
import { audioPreferences, NAMES, pipelineDescription, videoPreferences } from '../publisher/media.ts';
import { Peer } from '../publisher/peer.ts';
import type { PublisherCommand, PublisherSettings } from '../publisher/protocol.ts';

const PROGRESS_MS = 1000;

interface Publisher {
  pipeline: Gst.Pipeline;
  peer: Peer;
  feeder: Feeder;
}

const loop = GLib.MainLoop.new(null, false);
let exitCode = 0;
let publisher: Publisher | null = null;

function fail(error: unknown): void {
  say({ event: 'error', message: error instanceof Error ? error.message : String(error) });
  exitCode = 1;
  loop.quit();
}

function randomSsrc(): number {
  return GLib.random_int_range(1, 0x7fffffff);
}

function init(settings: PublisherSettings): Publisher {
  const description = pipelineDescription(settings, { video: randomSsrc(), audio: randomSsrc() });
  const pipeline = Gst.parse_launch(description);
  if (!(pipeline instanceof Gst.Pipeline)) throw new Error('the description is not that of a pipeline');
  watchBus(pipeline);
  const bin = pipeline.get_by_name(NAMES.peer);
  if (!bin) throw new Error('the pipeline has no peer');
  const peer = new Peer(bin, settings.addresses);
  const tracks: string[] = [];
  if (settings.video) tracks.push(videoPreferences(settings.video));
  if (settings.audio) tracks.push(audioPreferences());
  tracks.forEach((preferences, index) => peer.configure(index, preferences, settings.color));
  const feeder = new Feeder(pipeline, settings);
  if (pipeline.set_state(Gst.State.PLAYING) === Gst.StateChangeReturn.FAILURE)
    throw new Error('the pipeline does not play');
  peer.offer((sdp) => say({ event: 'offer', sdp }));
  return { pipeline, peer, feeder };
}

function watchBus(pipeline: Gst.Pipeline): void {
  const bus = pipeline.get_bus();
  bus.add_signal_watch();
  bus.connect('message::error', (_, message) => {
    const [error] = message.parse_error();
    fail(new Error(`${message.src.get_name() ?? 'pipeline'}: ${error?.message ?? 'unknown error'}`));
  });
}

function answer({ peer, feeder }: Publisher, sdp: string): void {
  peer.answer(sdp);
  let started = false;
  peer.onState((state) => {
    if (state === 'connected' && !started) {
      started = true;
      feeder.start();
      say({ event: 'connected' });
      GLib.timeout_add(GLib.PRIORITY_LOW, PROGRESS_MS, () => {
        say({ event: 'progress', ...feeder.counts });
        // A picture is small to JavaScript and a third of a megabyte to us: let go of those already sent.
        System.gc();
        return GLib.SOURCE_CONTINUE;
      });
    } else if (state !== 'connecting') {
      say({ event: 'state', state });
    }
    return state !== 'closed';
  });
}

function command(line: PublisherCommand): void {
  if (line.cmd === 'init') {
    publisher = init(line.settings);
    return;
  }
  if (line.cmd === 'stop') {
    loop.quit();
    return;
  }
  if (!publisher) throw new Error(`${line.cmd} before init`);
  if (line.cmd === 'answer') answer(publisher, line.sdp);
  else if (line.cmd === 'mute') publisher.feeder.setMuted(line.kind, line.muted);
  else publisher.feeder.setResolution(line.width, line.height);
}

Gst.init(null);
listen(
  (line) => {
    try {
      command(line);
    } catch (error) {
      fail(error);
    }
  },
  () => loop.quit(),
);
loop.run();
(publisher as Publisher | null)?.feeder.stop();
(publisher as Publisher | null)?.pipeline.set_state(Gst.State.NULL);
if (exitCode === 0) say({ event: 'stopped' });
System.exit(exitCode);
