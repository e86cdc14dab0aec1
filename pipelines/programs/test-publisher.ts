/**
 * A participant for tests and demos, run by gjs: a moving, flashing, beeping picture published by WebRTC
 * with real ICE, DTLS and SRTP. The parent does the WHIP exchange; see pipelines/publisher/protocol.ts.
 */
import GLib from 'gi://GLib?version=2.0';
import Gst from 'gi://Gst?version=1.0';
import GstRtp from 'gi://GstRtp?version=1.0';
import System from 'system';

import { Feeder } from '../publisher/feeder.ts';
import { listen, say } from '../publisher/lines.ts';
import {
  audioPreferences,
  layersOf,
  NAMES,
  payloaderName,
  pipelineDescription,
  RID_EXTENSION_ID,
  type Ssrcs,
  videoPreferences,
} from '../publisher/media.ts';
import { Peer } from '../publisher/peer.ts';
import type { PublisherCommand, PublisherSettings, PublisherVideo } from '../publisher/protocol.ts';

const PROGRESS_MS = 1000;

interface Publisher {
  settings: PublisherSettings;
  ssrcs: Ssrcs;
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
  const ssrcs = { video: randomSsrc(), audio: randomSsrc() };
  const pipeline = Gst.parse_launch(pipelineDescription(settings, ssrcs));
  if (!(pipeline instanceof Gst.Pipeline)) throw new Error('the description is not that of a pipeline');
  watchBus(pipeline);
  const bin = pipeline.get_by_name(NAMES.peer);
  if (!bin) throw new Error('the pipeline has no peer');
  const peer = new Peer(bin, settings.addresses);
  let tracks = 0;
  if (settings.video) {
    if (settings.video.simulcast) nameLayers(pipeline, settings.video);
    // RTX of layers would need the repaired-rtp-stream-id extension, which webrtcbin 1.22 does not write.
    peer.configure(tracks++, videoPreferences(settings.video), settings.color, !settings.video.simulcast);
  }
  if (settings.audio) peer.configure(tracks, audioPreferences(settings.audio), settings.color, false);
  const feeder = new Feeder(pipeline, settings);
  if (pipeline.set_state(Gst.State.PLAYING) === Gst.StateChangeReturn.FAILURE)
    throw new Error('the pipeline does not play');
  peer.offer((sdp) => say({ event: 'offer', sdp }));
  return { settings, ssrcs, pipeline, peer, feeder };
}

/** Has each layer's packets say their rid. */
function nameLayers(pipeline: Gst.Pipeline, video: PublisherVideo): void {
  layersOf(video).forEach(({ rid }, index) => {
    const payloader = pipeline.get_by_name(payloaderName(index));
    const extension = Gst.ElementFactory.make('rtphdrextstreamid', null);
    if (!payloader || !(extension instanceof GstRtp.RTPHeaderExtension))
      throw new Error('simulcast needs rtphdrextstreamid of the GStreamer good plugins');
    extension.set_id(RID_EXTENSION_ID);
    extension.set_property('rid', rid);
    (payloader as unknown as { emit(signal: 'add-extension', extension: unknown): void }).emit(
      'add-extension',
      extension,
    );
  });
}

function watchBus(pipeline: Gst.Pipeline): void {
  const bus = pipeline.get_bus();
  bus.add_signal_watch();
  bus.connect('message::error', (_, message) => {
    const [error] = message.parse_error();
    fail(new Error(`${message.src.get_name() ?? 'pipeline'}: ${error?.message ?? 'unknown error'}`));
  });
}

function answer({ settings, ssrcs, peer, feeder }: Publisher, sdp: string): void {
  peer.answer(sdp);
  let started = false;
  peer.onState((state) => {
    if (state === 'connected' && !started) {
      started = true;
      feeder.start();
      if (settings.video?.simulcast)
        peer.routeLayers(layersOf(settings.video).map((_, index) => ssrcs.video + index));
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
