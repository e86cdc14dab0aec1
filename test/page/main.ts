/** The studio's own clients, driven by tests. */
import type { HttpPeer } from '../../web/http-peer.ts';
import { createTestSource } from '../../web/test-source.ts';
import { WhepClient } from '../../web/whep-client.ts';
import { WhipClient } from '../../web/whip-client.ts';
import type { PageApi, Played, PublishOptions, Sent, WatchOptions } from './api.ts';
import { createMarkedSource } from './marked-source.ts';
import type { MarkedSource } from './marked-source.ts';

const peers = new Map<'publisher' | 'viewer', HttpPeer>();
let marked: MarkedSource | undefined;
let watched: { connection: RTCPeerConnection; videos: HTMLVideoElement[] } | undefined;

const api: PageApi = {
  async publish(options: PublishOptions) {
    const { width = 640, height = 360 } = options;
    if (options.marked) marked = await createMarkedSource(options.marked, width, height, options.fps ?? 30);
    const { stream } = marked ?? (await createTestSource({ width, height }));
    const peer = new WhipClient({ url: '/whip', stream, ...options });
    peers.set('publisher', peer);
    await peer.start();
  },

  async watch(options: WatchOptions) {
    const videos: HTMLVideoElement[] = [];
    const peer = new WhepClient(
      { url: '/whep', ...options },
      { stream: (stream) => videos.push(show(stream)) },
    );
    peers.set('viewer', peer);
    watched = { connection: peer.connection, videos };
    await peer.start();
  },

  async watchPlainly(token, kinds, numbers = {}) {
    const connection = new RTCPeerConnection();
    const tracks = kinds.map(
      (kind) => connection.addTransceiver(kind, { direction: 'recvonly' }).receiver.track,
    );
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp: renumbered(sdp, numbers) });
    const response = await fetch('/whep', {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/sdp' },
      body: connection.localDescription?.sdp ?? '',
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(answer);
    await connection.setRemoteDescription({ type: 'answer', sdp: answer });
    const [audio, video] = ['audio', 'video'].map((kind) => tracks.filter((track) => track.kind === kind));
    const videos = (video ?? []).map((track, index) => {
      const sound = audio?.[index];
      return show(new MediaStream(sound ? [track, sound] : [track]));
    });
    watched = { connection, videos };
    return answer;
  },

  async sent() {
    const layers: Sent['layers'] = [];
    const report = await peerOf('publisher').connection.getStats();
    report.forEach((stats: RTCStats) => {
      if (stats.type !== 'outbound-rtp') return;
      const { kind, frameHeight, framesEncoded, qualityLimitationReason } =
        stats as RTCOutboundRtpStreamStats & { qualityLimitationReason?: string };
      if (kind !== 'video') return;
      layers.push({
        height: frameHeight ?? 0,
        encoded: framesEncoded ?? 0,
        limitedBy: qualityLimitationReason ?? '',
      });
    });
    layers.sort((a, b) => b.height - a.height);
    return { drawn: marked?.frames ?? 0, layers };
  },

  async endTopLayer() {
    const senders = peerOf('publisher').connection.getSenders();
    const sender = senders.find(({ track }) => track?.kind === 'video');
    const parameters = sender?.getParameters();
    const top = parameters?.encodings.at(-1);
    if (!sender || !parameters || !top) throw new Error('this page sends no layers');
    top.active = false;
    await sender.setParameters(parameters);
  },

  async played() {
    return Promise.all((watched?.videos ?? []).map((video) => playedBy(video)));
  },

  async restartIce(what) {
    const peer = peerOf(what);
    await peer.restartIce();
    const { localDescription, remoteDescription, connectionState } = peer.connection;
    const ufrag = (description: RTCSessionDescription | null) =>
      /a=ice-ufrag:(\S+)/.exec(description?.sdp ?? '')?.[1] ?? '';
    return { local: ufrag(localDescription), remote: ufrag(remoteDescription), state: connectionState };
  },

  stop: (what) => peerOf(what).stop(),
  hangUp: (what) => peerOf(what).connection.close(),
};

/** Payload types stand in m-lines, in attributes of codecs, and where a codec names the one it repairs. */
function renumbered(sdp: string, numbers: Record<string, string>): string {
  const other = (number: string) => numbers[number] ?? number;
  return sdp
    .replaceAll(/^(m=\S+ \S+ \S+ )(.*)$/gm, (_line, start: string, formats: string) =>
      [start, formats.trim().split(' ').map(other).join(' ')].join(''),
    )
    .replaceAll(
      /^(a=(?:rtpmap|fmtp|rtcp-fb):)(\d+)/gm,
      (_line, start: string, number: string) => start + other(number),
    )
    .replaceAll(/apt=(\d+)/g, (_match, number: string) => `apt=${other(number)}`);
}

function peerOf(what: 'publisher' | 'viewer'): HttpPeer {
  const peer = peers.get(what);
  if (!peer) throw new Error(`this page has no ${what}`);
  return peer;
}

function show(stream: MediaStream): HTMLVideoElement {
  const video = document.createElement('video');
  video.autoplay = true;
  video.srcObject = stream;
  document.body.append(video);
  return video;
}

/** By section of the connection: a slot that shows one track after the other has statistics of each. */
async function playedBy(video: HTMLVideoElement): Promise<Played> {
  const sum = { width: video.videoWidth, frames: 0, energy: 0 };
  const stream = video.srcObject instanceof MediaStream ? video.srcObject : undefined;
  const transceivers = watched?.connection.getTransceivers() ?? [];
  const mids = (stream?.getTracks() ?? []).map(
    (track) => transceivers.find(({ receiver }) => receiver.track === track)?.mid,
  );
  const report = await watched?.connection.getStats();
  report?.forEach((stats: RTCStats) => {
    if (stats.type !== 'inbound-rtp') return;
    const inbound = stats as RTCInboundRtpStreamStats;
    if (!mids.includes(inbound.mid)) return;
    sum.frames += inbound.framesDecoded ?? 0;
    sum.energy += inbound.totalAudioEnergy ?? 0;
  });
  return sum;
}

Object.assign(globalThis, { sluice: api });
