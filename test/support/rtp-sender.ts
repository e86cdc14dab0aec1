/**
 * A publisher made of a UDP socket: RTP whose keyframes and loudness the test decides, and a count of the
 * keyframe requests (RTCP PLI) that come back. The frames decode to nothing; mediasoup reads headers only.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { randomInt } from 'node:crypto';
import type { types as ms } from 'mediasoup';
import type { SfuRoom } from '../../src/sfu/types.ts';

const AUDIO_LEVEL_URI = 'urn:ietf:params:rtp-hdrext:ssrc-audio-level';
const AUDIO_LEVEL_ID = 6;
const RTCP_PSFB = 206;
const FMT_PLI = 1;
/** Seconds from 1900 to 1970. */
const NTP_EPOCH_OFFSET = 2_208_988_800;

export interface VideoSenderOptions {
  /** Frames a second. */
  fps?: number;
  /** A keyframe by itself this often, ms; 0 (the default): the first frame and answers only. */
  gopMs?: number;
  /** How long after a PLI the keyframe comes, ms; Infinity: never. */
  answerMs?: number;
  /** Simulcast layers, one SSRC each. */
  layers?: number;
}

export class RtpSender {
  readonly producer: ms.Producer;
  /** When each PLI came (performance.now()), with the SSRC it asks for. */
  readonly plis: { at: number; ssrc: number }[] = [];
  /** SSRCs, lowest layer first. */
  readonly ssrcs: number[];
  /** -dBov (0 loudest … 127 silent) of every audio packet. */
  audioLevel = 10;
  /** A sender that is not sending is one whose network went away. */
  sending = true;
  readonly #socket: Socket;
  readonly #transport: ms.PlainTransport;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #keyFrameDue = new Set<number>();
  readonly #sequences = new Map<number, number>();
  #timestamp = 1;

  private constructor(socket: Socket, transport: ms.PlainTransport, producer: ms.Producer, ssrcs: number[]) {
    this.#socket = socket;
    this.#transport = transport;
    this.producer = producer;
    this.ssrcs = ssrcs;
  }

  static async video(room: SfuRoom, options: VideoSenderOptions = {}): Promise<RtpSender> {
    const { fps = 25, gopMs = 0, answerMs = 20, layers = 1 } = options;
    const ssrcs = Array.from({ length: layers }, () => randomInt(1, 2 ** 31));
    const sender = await RtpSender.#open(room, ssrcs, {
      kind: 'video',
      rtpParameters: {
        codecs: [
          {
            mimeType: 'video/VP8',
            payloadType: 96,
            clockRate: 90000,
            rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }],
          },
        ],
        encodings: ssrcs.map((ssrc) => ({ ssrc, scalabilityMode: 'L1T1' })),
        rtcp: { cname: 'test-sender' },
      },
    });
    for (const ssrc of ssrcs) sender.#keyFrameDue.add(ssrc);
    sender.#socket.on('message', (packet) => {
      for (const ssrc of plisIn(packet)) {
        sender.plis.push({ at: performance.now(), ssrc });
        if (answerMs !== Infinity) sender.#later(answerMs, () => sender.#keyFrameDue.add(ssrc));
      }
    });
    sender.#every(1000 / fps, () => sender.#sendPictures(90000 / fps));
    // mediasoup changes simulcast layers only when it knows how their timestamps relate.
    sender.#every(200, () => sender.#sendSenderReports());
    if (gopMs > 0) sender.#every(gopMs, () => ssrcs.forEach((ssrc) => sender.#keyFrameDue.add(ssrc)));
    return sender;
  }

  static async audio(room: SfuRoom): Promise<RtpSender> {
    const ssrc = randomInt(1, 2 ** 31);
    const sender = await RtpSender.#open(room, [ssrc], {
      kind: 'audio',
      rtpParameters: {
        codecs: [{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48000, channels: 2 }],
        headerExtensions: [{ uri: AUDIO_LEVEL_URI, id: AUDIO_LEVEL_ID }],
        encodings: [{ ssrc }],
        rtcp: { cname: 'test-sender' },
      },
    });
    sender.#every(20, () => sender.#sendSound(ssrc));
    return sender;
  }

  static async #open(room: SfuRoom, ssrcs: number[], options: ms.ProducerOptions): Promise<RtpSender> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    try {
      const transport = await room.createPlainTransport({ srtp: false });
      await transport.connect({ ip: '127.0.0.1', port: socket.address().port });
      const producer = await transport.produce(options);
      return new RtpSender(socket, transport, producer, ssrcs);
    } catch (err) {
      socket.close();
      throw err;
    }
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
    if (!this.#transport.closed) this.#transport.close();
    this.#socket.close();
  }

  #every(ms: number, action: () => void): void {
    this.#timers.add(setInterval(action, ms));
  }

  #later(ms: number, action: () => void): void {
    this.#timers.add(setTimeout(action, ms));
  }

  #sendPictures(step: number): void {
    this.#timestamp += step;
    for (const ssrc of this.ssrcs) {
      const keyFrame = this.#keyFrameDue.delete(ssrc);
      // VP8 payload descriptor (RFC 7741 §4.2): start of partition 0; then the frame tag, whose bit 0 is 0 in
      // a keyframe (RFC 6386 §9.1), with the start code and 320x180 behind it.
      const frame = keyFrame
        ? Buffer.from([0x10, 0x50, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00, 0, 0, 0])
        : Buffer.from([0x10, 0x51, 0x00, 0x00, 0, 0, 0, 0]);
      this.#send(Buffer.concat([this.#header(96, ssrc, true), frame]));
    }
  }

  /** RFC 3550 §6.4.1, one for each SSRC. */
  #sendSenderReports(): void {
    const now = Date.now();
    for (const ssrc of this.ssrcs) {
      const report = Buffer.alloc(28);
      report[0] = 0x80;
      report[1] = 200;
      report.writeUInt16BE(6, 2);
      report.writeUInt32BE(ssrc, 4);
      report.writeUInt32BE(Math.floor(now / 1000) + NTP_EPOCH_OFFSET, 8);
      report.writeUInt32BE(Math.floor(((now % 1000) / 1000) * 2 ** 32), 12);
      report.writeUInt32BE(Math.floor(this.#timestamp) >>> 0, 16);
      this.#send(report);
    }
  }

  #sendSound(ssrc: number): void {
    this.#timestamp += 960;
    const header = this.#header(111, ssrc, false);
    header[0] = 0x90; // with a header extension
    const extension = Buffer.from([0xbe, 0xde, 0, 1, AUDIO_LEVEL_ID << 4, 0x80 | this.audioLevel, 0, 0]);
    this.#send(Buffer.concat([header, extension, Buffer.from([0xf8, 0xff, 0xfe])]));
  }

  #header(payloadType: number, ssrc: number, marker: boolean): Buffer {
    const header = Buffer.alloc(12);
    header[0] = 0x80;
    header[1] = payloadType | (marker ? 0x80 : 0);
    const sequence = this.#sequences.get(ssrc) ?? 1;
    this.#sequences.set(ssrc, sequence + 1);
    header.writeUInt16BE(sequence & 0xffff, 2);
    header.writeUInt32BE(Math.floor(this.#timestamp) >>> 0, 4);
    header.writeUInt32BE(ssrc, 8);
    return header;
  }

  #send(packet: Buffer): void {
    if (!this.sending) return;
    this.#socket.send(packet, this.#transport.tuple.localPort, '127.0.0.1');
  }
}

/** Media SSRCs of the picture loss indications (RFC 4585 §6.3.1) in a compound RTCP packet. */
export function plisIn(packet: Buffer): number[] {
  const ssrcs: number[] = [];
  for (let at = 0; at + 12 <= packet.length;) {
    const length = (packet.readUInt16BE(at + 2) + 1) * 4;
    if (packet[at + 1] === RTCP_PSFB && (packet.readUInt8(at) & 0x1f) === FMT_PLI) {
      ssrcs.push(packet.readUInt32BE(at + 8));
    }
    at += length;
  }
  return ssrcs;
}
