/**
 * A recorder of its own: enters a room over the bridge and keeps every RTP packet of one track, so that a recording
 * can be held against what the publisher sent. It asks for no keyframes beyond its first.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { connectBridge } from '../../src/bridge/client.ts';
import type { BridgeClient } from '../../src/bridge/client.ts';
import type { BridgeSubscription } from '../../src/bridge/protocol.ts';
import { quiet } from './callers.ts';
import type { Sluice } from './sluice.ts';

/** A video picture at 640x360 is some tens of packets: nothing may be lost in between two turns of the event loop. */
const RECEIVE_BUFFER = 4 * 1024 * 1024;

interface Packet {
  sequence: number;
  timestamp: number;
  payload: Buffer;
}

/** A NAL unit as it was sent or recorded. */
export interface Nal {
  /** nal_unit_type (ITU-T H.264, 7.4.1). */
  type: number;
  /** A slice that begins a picture: its first_mb_in_slice is 0. */
  first: boolean;
  hash: string;
}

export class WireRecorder {
  readonly #bridge: BridgeClient;
  readonly #socket: Socket;
  readonly #packets: Packet[] = [];
  #subscription: BridgeSubscription | undefined;

  private constructor(bridge: BridgeClient, socket: Socket) {
    this.#bridge = bridge;
    this.#socket = socket;
    socket.on('message', (data) => this.#receive(data));
  }

  /** Answers once the track is received. */
  static async start(sluice: Sluice, room: string, trackId: string): Promise<WireRecorder> {
    const token = await sluice.bridgeToken(`wire-${trackId}`, { room, hidden: true, recorder: true });
    const url = `${sluice.url.replace(/^http/, 'ws')}/bridge`;
    const bridge = await connectBridge({ url, token, attempt: 1, logger: quiet });
    const socket = createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BUFFER });
    const recorder = new WireRecorder(bridge, socket);
    try {
      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
      const subscription = await bridge.request('subscribe', {
        trackId,
        ip: '127.0.0.1',
        port: socket.address().port,
      });
      recorder.#subscription = subscription;
      const { subscriptionId } = subscription;
      await bridge.request('resume', { subscriptionId });
      if (subscription.kind === 'video') await bridge.request('requestKeyFrame', { subscriptionId });
      return recorder;
    } catch (error) {
      await recorder.stop();
      throw error;
    }
  }

  /** Packets that never came. */
  get lost(): number {
    const numbers = this.#packets.map(({ sequence }) => sequence);
    let lost = 0;
    for (let i = 1; i < numbers.length; i++) lost += ((numbers[i]! - numbers[i - 1]! + 0x10000) & 0xffff) - 1;
    return lost;
  }

  /** NAL units in order (RFC 6184: single, STAP-A and FU-A). */
  nals(): Nal[] {
    const nals: Buffer[] = [];
    let fragments: Buffer[] = [];
    for (const { payload } of this.#packets) {
      const header = payload.readUInt8(0);
      const type = header & 0x1f;
      if (type === 24) {
        for (let at = 1; at + 2 < payload.length;) {
          const size = payload.readUInt16BE(at);
          nals.push(payload.subarray(at + 2, at + 2 + size));
          at += 2 + size;
        }
      } else if (type === 28) {
        const fu = payload.readUInt8(1);
        if (fu & 0x80) fragments = [Buffer.of((header & 0xe0) | (fu & 0x1f))];
        fragments.push(payload.subarray(2));
        if (fu & 0x40) nals.push(Buffer.concat(fragments));
      } else nals.push(payload);
    }
    return nals.map(nalOf);
  }

  /** SHA-256 of every VP8 frame, in order (RFC 7741: descriptors taken off). */
  vp8Frames(): string[] {
    return this.#frames((payload) => payload.subarray(vp8DescriptorSize(payload)));
  }

  /** SHA-256 of every Opus packet, in order. */
  opusPackets(): string[] {
    return this.#frames((payload) => payload);
  }

  async stop(): Promise<void> {
    await this.#bridge.leave().catch(() => undefined);
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  #frames(content: (payload: Buffer) => Buffer): string[] {
    const frames = new Map<number, Buffer[]>();
    for (const { timestamp, payload } of this.#packets) {
      const parts = frames.get(timestamp);
      if (parts) parts.push(content(payload));
      else frames.set(timestamp, [content(payload)]);
    }
    return [...frames.values()].map((parts) => sha256(Buffer.concat(parts)));
  }

  /** RFC 3550, 5.1. RTCP and bandwidth probes come on the same port. */
  #receive(data: Buffer): void {
    const { codec, ssrc } = this.#subscription ?? {};
    if (data.length < 12 || data.readUInt32BE(8) !== ssrc) return;
    if ((data.readUInt8(1) & 0x7f) !== codec?.payloadType) return;
    const flags = data.readUInt8(0);
    let from = 12 + (flags & 0x0f) * 4;
    if (flags & 0x10) from += 4 + data.readUInt16BE(from + 2) * 4;
    const to = data.length - (flags & 0x20 ? data.readUInt8(data.length - 1) : 0);
    if (to <= from) return;
    this.#packets.push({
      sequence: data.readUInt16BE(2),
      timestamp: data.readUInt32BE(4),
      payload: data.subarray(from, to),
    });
  }
}

/** NAL units of an Annex B stream, all of them, in order. */
export function annexBNals(stream: Buffer): Nal[] {
  const starts: number[] = [];
  for (let at = stream.indexOf('\0\0\x01'); at >= 0; at = stream.indexOf('\0\0\x01', at + 3))
    starts.push(at + 3);
  return starts.map((from, i) => {
    let to = i + 1 < starts.length ? starts[i + 1]! - 3 : stream.length;
    while (to > from && stream[to - 1] === 0) to--;
    return nalOf(stream.subarray(from, to));
  });
}

/** Coded slices: what a picture is made of, without parameter sets, delimiters and SEI. */
export function slices(nals: readonly Nal[]): Nal[] {
  return nals.filter(({ type }) => type >= 1 && type <= 5);
}

function nalOf(bytes: Buffer): Nal {
  const type = bytes.readUInt8(0) & 0x1f;
  // ue(v) of 0 is a single 1 bit.
  const first = type >= 1 && type <= 5 && bytes.length > 1 && (bytes.readUInt8(1) & 0x80) !== 0;
  return { type, first, hash: sha256(bytes) };
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function vp8DescriptorSize(payload: Buffer): number {
  if (!(payload.readUInt8(0) & 0x80)) return 1;
  const extension = payload.readUInt8(1);
  let size = 2;
  if (extension & 0x80) size += payload.readUInt8(size) & 0x80 ? 2 : 1;
  if (extension & 0x40) size += 1;
  if (extension & 0x30) size += 1;
  return size;
}
