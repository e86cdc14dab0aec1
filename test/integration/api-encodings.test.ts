/** Every RPC of LiveKit's Egress service in JSON and in protobuf: the same request, the same answer. */
import type { Message, MessageType } from '@bufbuild/protobuf';
import {
  DirectFileOutput,
  EgressInfo,
  EgressStatus,
  EncodedFileOutput,
  ListEgressRequest,
  ListEgressResponse,
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  StartEgressRequest,
  StopEgressRequest,
  StreamOutput,
  StreamProtocol,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  TrackSource,
  UpdateLayoutRequest,
  UpdateStreamRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { KNOWN_RPCS } from '../../src/api/known-rpcs.ts';
import { rawCall, startApi, token } from '../support/api.ts';
import type { TestApi } from '../support/api.ts';
import { RtpSender } from '../support/rtp-sender.ts';
import { visible } from '../support/sfu.ts';

const roomName = 'demo';
const fileOutputs = [new EncodedFileOutput({ filepath: 'encodings/file' })];
const ENCODINGS = ['application/json', 'application/protobuf'] as const;

let api: TestApi;
let auth: string;
const senders: RtpSender[] = [];
const tracks = { audio: '', video: '' };
/** An egress of the test's own, that runs and streams: one for each encoding. */
const running: string[] = [];

async function call<T extends Message<T>>(
  method: string,
  request: Message,
  output: MessageType<T>,
  encoding: (typeof ENCODINGS)[number],
): Promise<T> {
  const json = encoding === 'application/json';
  const answer = await rawCall(`${api.url}/twirp/livekit.Egress/${method}`, {
    auth,
    headers: { 'content-type': encoding },
    body: json ? request.toJsonString() : (request.toBinary() as Uint8Array<ArrayBuffer>),
  });
  expect(answer.status, answer.bytes.toString()).toBe(200);
  expect(answer.contentType).toBe(encoding);
  return json ? output.fromJsonString(answer.bytes.toString()) : output.fromBinary(answer.bytes);
}

beforeAll(async () => {
  api = await startApi();
  auth = await token({ roomRecord: true });
  const room = await api.sfu.createRoom({ name: roomName });
  const alice = room.join({ identity: 'alice', permissions: visible });
  senders.push(await RtpSender.audio(room), await RtpSender.video(room));
  tracks.audio = alice.publish(senders[0]!.producer, { source: TrackSource.MICROPHONE }).sid;
  tracks.video = alice.publish(senders[1]!.producer, { source: TrackSource.CAMERA }).sid;
  for (const encoding of ENCODINGS) {
    const request = new RoomCompositeEgressRequest({
      roomName,
      streamOutputs: [
        new StreamOutput({ protocol: StreamProtocol.RTMP, urls: ['rtmp://127.0.0.1/live/first-key'] }),
      ],
    });
    const { egressId } = await call('StartRoomCompositeEgress', request, EgressInfo, encoding);
    running.push(egressId);
    // As a worker that has begun, and does at once what is asked for.
    await api.store.begin(egressId, 1);
    const { info } = (await api.store.get(egressId))!;
    info.status = EgressStatus.EGRESS_ACTIVE;
    await api.store.saveInfo(egressId, 1, info, 1000);
  }
});
afterAll(async () => {
  for (const sender of senders) sender.close();
  await api.stop();
});

/** What is not of the one egress alone. */
function shared(info: EgressInfo): object {
  const copy = info.clone();
  return Object.assign(copy, { egressId: '', startedAt: 0n, updatedAt: 0n, endedAt: 0n });
}

/** By method: its request, of the egress with that id where it is about one. */
const REQUESTS: Record<string, (egressId: string) => Message> = {
  StartEgress: () =>
    new StartEgressRequest({
      roomName,
      source: { case: 'media', value: { video: { case: 'participantVideo', value: { identity: 'alice' } } } },
      outputs: [{ config: { case: 'file', value: { filepath: 'encodings/v2' } } }],
    }),
  StartRoomCompositeEgress: () =>
    new RoomCompositeEgressRequest({ roomName, layout: 'speaker', fileOutputs, videoOnly: true }),
  StartWebEgress: () =>
    new WebEgressRequest({ url: 'http://127.0.0.1/page', awaitStartSignal: true, fileOutputs }),
  StartParticipantEgress: () =>
    new ParticipantEgressRequest({ roomName, identity: 'alice', screenShare: true, fileOutputs }),
  StartTrackCompositeEgress: () =>
    new TrackCompositeEgressRequest({ roomName, audioTrackId: tracks.audio, fileOutputs }),
  StartTrackEgress: () =>
    new TrackEgressRequest({
      ...{ roomName, trackId: tracks.video },
      output: { case: 'file', value: new DirectFileOutput({ filepath: 'encodings/track' }) },
    }),
  UpdateLayout: (egressId) => new UpdateLayoutRequest({ egressId, layout: 'single-speaker' }),
  UpdateStream: (egressId) =>
    new UpdateStreamRequest({ egressId, addOutputUrls: ['rtmp://127.0.0.1/live/second-key'] }),
  StopEgress: (egressId) => new StopEgressRequest({ egressId }),
};

it('knows them all', () => {
  expect([...Object.keys(REQUESTS), 'ListEgress'].sort()).toEqual([...(KNOWN_RPCS.Egress ?? [])].sort());
});

it.each(Object.entries(REQUESTS))('%s', async (method, requestOf) => {
  const answers: object[] = [];
  for (const [index, encoding] of ENCODINGS.entries()) {
    const request = requestOf(running[index]!);
    const info = await call(method, request, EgressInfo, encoding);
    expect(info.egressId).toMatch(/^EG_/);
    answers.push(shared(info));
  }
  expect(answers[1]).toEqual(answers[0]);
});

it('ListEgress', async () => {
  const request = new ListEgressRequest({ roomName });
  const [json, binary] = await Promise.all(
    ENCODINGS.map((encoding) => call('ListEgress', request, ListEgressResponse, encoding)),
  );
  expect(json!.items.length).toBeGreaterThan(5);
  expect(binary).toEqual(json);
});
