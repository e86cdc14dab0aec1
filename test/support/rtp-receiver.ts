/** What a worker's pipeline is to the bridge: a bound UDP socket, and the RTP that comes to it. */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';

export interface ReceivedPacket {
  at: number;
  payloadType: number;
  sequence: number;
  timestamp: number;
  ssrc: number;
  payload: Buffer;
}

/** A Sender Report's clocks (RFC 3550, 6.4.1). */
export interface SenderReport {
  at: number;
  ssrc: number;
  /** NTP time, s. */
  ntp: number;
  /** RTP timestamp at that time. */
  rtp: number;
}

export class RtpReceiver {
  readonly packets: ReceivedPacket[] = [];
  /** Sender report, receiver report and so on: RTCP packet types 200…206. */
  readonly rtcpTypes: number[] = [];
  readonly reports: SenderReport[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (packet) => this.#message(packet));
  }

  static async open(): Promise<RtpReceiver> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    return new RtpReceiver(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** VP8 keyframes among the packets. */
  get keyFrames(): ReceivedPacket[] {
    return this.packets.filter(({ payload }) => payload[0] === 0x10 && (payload.readUInt8(1) & 1) === 0);
  }

  /** Generic NACK (RFC 4585 §6.2.1) for one packet. */
  nack(remotePort: number, ssrc: number, sequence: number): void {
    const packet = Buffer.alloc(16);
    packet[0] = 0x81;
    packet[1] = 205;
    packet.writeUInt16BE(3, 2);
    packet.writeUInt32BE(1, 4);
    packet.writeUInt32BE(ssrc, 8);
    packet.writeUInt16BE(sequence, 12);
    this.#socket.send(packet, remotePort, '127.0.0.1');
  }

  /** Picture loss indication (RFC 4585 §6.3.1). */
  pli(remotePort: number, ssrc: number): void {
    const packet = Buffer.alloc(12);
    packet[0] = 0x81;
    packet[1] = 206;
    packet.writeUInt16BE(2, 2);
    packet.writeUInt32BE(ssrc, 8);
    this.#socket.send(packet, remotePort, '127.0.0.1');
  }

  close(): void {
    this.#socket.close();
  }

  #message(packet: Buffer): void {
    const type = packet.readUInt8(1);
    // RFC 5761 §4: with rtcp-mux, these are RTCP.
    if (type >= 192 && type <= 223) {
      this.rtcpTypes.push(type);
      this.#reports(packet);
      return;
    }
    const extended = (packet.readUInt8(0) & 0x10) !== 0;
    const payloadAt = 12 + (extended ? 4 + packet.readUInt16BE(14) * 4 : 0);
    this.packets.push({
      at: performance.now(),
      payloadType: type & 0x7f,
      sequence: packet.readUInt16BE(2),
      timestamp: packet.readUInt32BE(4),
      ssrc: packet.readUInt32BE(8),
      payload: packet.subarray(payloadAt),
    });
  }

  /** Sender Reports of a compound packet. */
  #reports(compound: Buffer): void {
    for (let at = 0; at + 8 <= compound.length; at += 4 + compound.readUInt16BE(at + 2) * 4) {
      if (compound.readUInt8(at + 1) !== 200) continue;
      this.reports.push({
        at: performance.now(),
        ssrc: compound.readUInt32BE(at + 4),
        ntp: compound.readUInt32BE(at + 8) + compound.readUInt32BE(at + 12) / 2 ** 32,
        rtp: compound.readUInt32BE(at + 16),
      });
    }
  }
}
