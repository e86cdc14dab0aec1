/** Sluice's own Egress service: what LiveKit's messages have no field for. JSON only. */
import {
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  StartEgressRequest,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { z } from 'zod';
import { requireGrant } from '../auth/grants.ts';
import { parseOptions } from '../egress/request/options.ts';
import type { StartRequest } from '../egress/request/types.ts';
import { startEgress } from './egress-start.ts';
import type { EgressServiceOptions } from './egress-service.ts';
import { exactlyOne, messageFromJson, messageJson, messageToJson } from './protojson.ts';
import { jsonRpc } from './rpc.ts';
import type { RpcContext, RpcService } from './rpc.ts';
import { runningMethods } from './sluice-egress-methods.ts';

/** Exactly one of LiveKit's requests, in its own JSON, and {@link parseOptions}'s options. */
const startSchema = z.strictObject({
  room_composite: messageJson.optional(),
  web: messageJson.optional(),
  participant: messageJson.optional(),
  track_composite: messageJson.optional(),
  track: messageJson.optional(),
  /** v2's StartEgressRequest. */
  start: messageJson.optional(),
  options: z.unknown().optional(),
});

type StartBody = z.infer<typeof startSchema>;

const DECODERS: Readonly<Record<Exclude<keyof StartBody, 'options'>, (json: JsonValue) => StartRequest>> = {
  room_composite: (json) => messageFromJson(RoomCompositeEgressRequest, json),
  web: (json) => messageFromJson(WebEgressRequest, json),
  participant: (json) => messageFromJson(ParticipantEgressRequest, json),
  track_composite: (json) => messageFromJson(TrackCompositeEgressRequest, json),
  track: (json) => messageFromJson(TrackEgressRequest, json),
  start: (json) => messageFromJson(StartEgressRequest, json),
};

/** @throws TwirpError unless exactly one request is there */
function requestOf(body: StartBody): StartRequest {
  const names = Object.keys(DECODERS) as (keyof typeof DECODERS)[];
  const { name, json } = exactlyOne(body, names, 'request');
  return DECODERS[name](json);
}

export class SluiceEgressService implements RpcService {
  readonly package = 'sluice';
  readonly name = 'Egress';
  readonly #options: EgressServiceOptions;

  readonly methods: RpcService['methods'];

  constructor(options: EgressServiceOptions) {
    this.#options = options;
    this.methods = {
      StartEgress: jsonRpc(startSchema, (request, context) => this.#start(request, context)),
      ...runningMethods(options),
    };
  }

  async #start(body: StartBody, { claims, logger }: RpcContext): Promise<JsonObject> {
    requireGrant(claims, 'roomRecord');
    const request = requestOf(body);
    const options = parseOptions(body.options);
    return messageToJson(await startEgress(request, this.#options, logger, options));
  }
}
