/** The requests that start an egress, and how they are kept. */
import {
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  StartEgressRequest,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  WebEgressRequest,
} from '@livekit/protocol';

export type StartRequest =
  | RoomCompositeEgressRequest
  | WebEgressRequest
  | ParticipantEgressRequest
  | TrackCompositeEgressRequest
  | TrackEgressRequest
  | StartEgressRequest;

const REQUEST_TYPES = {
  RoomCompositeEgressRequest,
  WebEgressRequest,
  ParticipantEgressRequest,
  TrackCompositeEgressRequest,
  TrackEgressRequest,
  StartEgressRequest,
} as const;

export type RequestTypeName = keyof typeof REQUEST_TYPES;

/** A request as EgressRecord keeps it, secrets included. */
export function storeRequest(request: StartRequest): { requestType: RequestTypeName; requestJson: string } {
  return {
    requestType: request.getType().typeName.replace(/^.*\./, '') as RequestTypeName,
    requestJson: request.toJsonString(),
  };
}

/** @throws RangeError for a type that is none of ours: a record of another version. */
export function loadRequest(stored: { requestType: string; requestJson: string }): StartRequest {
  if (!Object.hasOwn(REQUEST_TYPES, stored.requestType)) {
    throw new RangeError(`cannot run a stored ${stored.requestType}: this version does not know it`);
  }
  const type = REQUEST_TYPES[stored.requestType as RequestTypeName];
  return type.fromJsonString(stored.requestJson, { ignoreUnknownFields: true });
}
