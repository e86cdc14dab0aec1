/** A WHIP endpoint in this process (werift) that keeps what a publisher sends, packet by packet. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  H264RtpPayload,
  ntpTime2Sec,
  RTCPeerConnection,
  RtcpSrPacket,
  useH264,
  useOPUS,
  useVP8,
  Vp8RtpPayload,
  type RtpPacket,
} from 'werift';

export interface ReceivedReport {
  /** Seconds of the sender's wall clock, and the RTP time it belongs to. */
  ntp: number;
  rtp: number;
}

export interface ReceivedTrack {
  ssrc: number;
  /** In the order of their sequence numbers, each once. */
  packets: RtpPacket[];
  /** Sender Reports. */
  reports: ReceivedReport[];
}

/** A picture as it was sent. */
export interface ReceivedPicture {
  rtp: number;
  data: Buffer;
  key: boolean;
  /** NAL units by type, H.264 only. */
  nals: number[];
}

export interface WhipReceiver {
  readonly url: string;
  /** `METHOD path`, in order, of accepted requests. */
  readonly requests: string[];
  readonly offer: string;
  readonly audio: ReceivedTrack | undefined;
  readonly video: ReceivedTrack | undefined;
  /** Asks for a keyframe. */
  sendPli(): Promise<void>;
  close(): Promise<void>;
}

export interface WhipReceiverOptions {
  /** Requests with another bearer token get 401. */
  token: string;
  /** Answers, but neither tells its candidates nor takes notice of the publisher's. */
  unreachable?: boolean;
}

const H264_PARAMETERS = 'packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1';

export async function startWhipReceiver(options: WhipReceiverOptions): Promise<WhipReceiver> {
  const feedback = [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }];
  const peer = new RTCPeerConnection({
    codecs: {
      audio: [useOPUS()],
      video: [
        useH264({ parameters: H264_PARAMETERS, rtcpFeedback: feedback }),
        useVP8({ rtcpFeedback: feedback }),
      ],
    },
  });
  const tracks: { audio?: ReceivedTrack; video?: ReceivedTrack } = {};
  peer.onTrack.subscribe((track) => {
    const kept: ReceivedTrack = { ssrc: track.ssrc ?? 0, packets: [], reports: [] };
    tracks[track.kind as 'audio' | 'video'] = kept;
    track.onReceiveRtp.subscribe((packet) => kept.packets.push(packet.clone()));
    track.onReceiveRtcp.subscribe((report) => {
      if (!(report instanceof RtcpSrPacket)) return;
      const { ntpTimestamp, rtpTimestamp } = report.senderInfo;
      kept.reports.push({ ntp: ntpTime2Sec(ntpTimestamp), rtp: rtpTimestamp });
    });
  });

  const requests: string[] = [];
  let offer = '';
  const answer = async (body: string): Promise<string> => {
    offer = body;
    const hide = (sdp: string) => (options.unreachable ? sdp.replace(/^a=candidate:.*\r?\n/gm, '') : sdp);
    await peer.setRemoteDescription({ type: 'offer', sdp: hide(body) });
    await peer.setLocalDescription(await peer.createAnswer());
    if (peer.iceGatheringState !== 'complete')
      await peer.iceGatheringStateChange.watch((state) => state === 'complete');
    return hide(peer.localDescription!.sdp);
  };
  const server = createServer((request, response) => {
    void (async () => {
      if (request.headers.authorization !== `Bearer ${options.token}`) {
        response.writeHead(401).end('who are you?');
        return;
      }
      requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
      if (request.method !== 'POST') {
        response.end();
        return;
      }
      const sdp = await answer(await bodyOf(request));
      response.writeHead(201, { 'content-type': 'application/sdp', location: '/whip/session-1' }).end(sdp);
    })().catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/whip`,
    requests,
    get offer() {
      return offer;
    },
    get audio() {
      return sorted(tracks.audio);
    },
    get video() {
      return sorted(tracks.video);
    },
    sendPli: async () => {
      const transceiver = peer.getTransceivers().find(({ kind }) => kind === 'video');
      await transceiver?.receiver.sendRtcpPLI(tracks.video?.ssrc ?? 0);
    },
    close: async () => {
      await peer.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Whole H.264 pictures: access units with start codes. */
export function h264Pictures(packets: readonly RtpPacket[]): ReceivedPicture[] {
  const pictures: ReceivedPicture[] = [];
  let fragment: Buffer | undefined;
  for (const packet of packets) {
    const payload = H264RtpPayload.deSerialize(packet.payload, fragment);
    fragment = payload.fragment;
    let picture = pictures.at(-1);
    if (picture?.rtp !== packet.header.timestamp) {
      picture = { rtp: packet.header.timestamp, data: Buffer.alloc(0), key: false, nals: [] };
      pictures.push(picture);
    }
    // Nothing until a fragmented NAL unit is whole, whatever its type says.
    const whole = payload.payload as Buffer | undefined;
    if (whole) picture.data = Buffer.concat([picture.data, whole]);
  }
  // Who stops sending may do so within a picture.
  if (packets.at(-1)?.header.marker === false) pictures.pop();
  for (const picture of pictures) {
    for (let i = 0; i + 4 < picture.data.length; i++)
      if (picture.data.readUInt32BE(i) === 1) picture.nals.push(picture.data[i + 4]! & 31);
    picture.key = picture.nals.includes(5);
  }
  return pictures;
}

/** Whole VP8 frames. */
export function vp8Pictures(packets: readonly RtpPacket[]): ReceivedPicture[] {
  const pictures: ReceivedPicture[] = [];
  for (const packet of packets) {
    const payload = Vp8RtpPayload.deSerialize(packet.payload);
    let picture = pictures.at(-1);
    if (picture?.rtp !== packet.header.timestamp) {
      picture = { rtp: packet.header.timestamp, data: Buffer.alloc(0), key: payload.isKeyframe, nals: [] };
      pictures.push(picture);
    }
    picture.data = Buffer.concat([picture.data, payload.payload]);
  }
  return pictures;
}

/** VP8 frames as an IVF file, their RTP times in it. */
export function toIvf(pictures: readonly ReceivedPicture[], width: number, height: number): Buffer {
  const header = Buffer.alloc(32);
  header.write('DKIF\0\0\x20\0VP80', 'latin1');
  header.writeUInt16LE(width, 12);
  header.writeUInt16LE(height, 14);
  header.writeUInt32LE(90_000, 16);
  header.writeUInt32LE(1, 20);
  header.writeUInt32LE(pictures.length, 24);
  const frames = pictures.flatMap(({ rtp, data }) => {
    const frame = Buffer.alloc(12);
    frame.writeUInt32LE(data.length, 0);
    frame.writeUInt32LE((rtp - pictures[0]!.rtp) >>> 0, 4);
    return [frame, data];
  });
  return Buffer.concat([header, ...frames]);
}

/** Packets with their lengths (RFC 4571), as GStreamer's `rtpstreamdepay` reads them. */
export function toRtpStream(packets: readonly RtpPacket[]): Buffer {
  return Buffer.concat(
    packets.flatMap((packet) => {
      const bytes = packet.serialize();
      const length = Buffer.alloc(2);
      length.writeUInt16BE(bytes.length);
      return [length, bytes];
    }),
  );
}

/** When RTP time `rtp` was, by the track's last Sender Report, seconds of the sender's wall clock. */
export function wallClock(track: ReceivedTrack, rtp: number, clockRate: number): number {
  const report = track.reports.at(-1);
  if (!report) throw new Error('no Sender Report came');
  // Signed difference modulo 2^32.
  return report.ntp + ((rtp - report.rtp) | 0) / clockRate;
}

function sorted(track: ReceivedTrack | undefined): ReceivedTrack | undefined {
  const first = track?.packets[0]?.header.sequenceNumber;
  if (!track || first === undefined) return track;
  const place = (packet: RtpPacket) => ((packet.header.sequenceNumber - first + 0x8000) & 0xffff) - 0x8000;
  const places = new Map(track.packets.map((packet) => [place(packet), packet]));
  return { ...track, packets: [...places.entries()].sort(([a], [b]) => a - b).map(([, packet]) => packet) };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}
