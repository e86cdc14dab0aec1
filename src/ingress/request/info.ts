/** What CreateIngress and UpdateIngress make of an IngressInfo, by LiveKit's rules (protocol/ingress, pkg/service). Pure. */
/* eslint-disable @typescript-eslint/no-deprecated -- bypass_transcoding is what older clients know */
import { IngressInfo, IngressInput, IngressState } from '@livekit/protocol';
import type { CreateIngressRequest, UpdateIngressRequest } from '@livekit/protocol';
import { checkMetadata, checkOptionalName } from '../../sfu/limits.ts';
import { RequestError, invalidBypass, invalidIngress } from './errors.ts';
import { checkAudioOptions, checkVideoOptions } from './options.ts';
import { checkSourceUrl, redactSourceUrl } from './source-url.ts';

/** What the server adds to a request. */
export interface IngressNames {
  ingressId: string;
  /** Of push inputs. */
  streamKey: string;
  /** Where publishers connect, without a stream key. */
  urls: { rtmp: string; whip: string };
}

/**
 * A new ingress, without a session.
 * @throws RequestError; SfuError for a name that is too long
 */
export function newIngressInfo(request: CreateIngressRequest, names: IngressNames): IngressInfo {
  const { inputType } = request;
  if (!(inputType in IngressInput)) throw new RequestError('invalid ingress type');
  const pulled = inputType === IngressInput.URL_INPUT;
  if (pulled) checkSourceUrl(request.url);
  else if (request.url !== '') throw invalidIngress('url is for URL inputs; publishers are told theirs');
  const info = new IngressInfo({
    ingressId: names.ingressId,
    name: request.name,
    streamKey: pulled ? '' : names.streamKey,
    url: pulled
      ? redactSourceUrl(request.url)
      : names.urls[inputType === IngressInput.WHIP_INPUT ? 'whip' : 'rtmp'],
    inputType,
    roomName: request.roomName,
    participantIdentity: request.participantIdentity,
    participantName: request.participantName,
    participantMetadata: request.participantMetadata,
    reusable: !pulled,
    state: new IngressState(),
  });
  if (request.audio) info.audio = request.audio;
  if (request.video) info.video = request.video;
  if (request.enabled !== undefined) info.enabled = request.enabled;
  const bypass = request.bypassTranscoding ? true : undefined;
  setTranscoding(info, request.enableTranscoding, bypass);
  checkIngressInfo(info);
  return info;
}

/**
 * The info after an update; empty fields stay as they are.
 * @throws RequestError; SfuError for a name that is too long
 */
export function updatedIngressInfo(before: IngressInfo, request: UpdateIngressRequest): IngressInfo {
  if (!before.reusable) throw new RequestError('ingress is not reusable and cannot be modified');
  const info = before.clone();
  for (const field of [
    'name',
    'roomName',
    'participantIdentity',
    'participantName',
    'participantMetadata',
  ] as const) {
    if (request[field] !== '') info[field] = request[field];
  }
  if (request.audio) info.audio = request.audio;
  if (request.video) info.video = request.video;
  if (request.enabled !== undefined) info.enabled = request.enabled;
  setTranscoding(info, request.enableTranscoding, request.bypassTranscoding);
  checkIngressInfo(info);
  return info;
}

/**
 * WHIP is not transcoded unless asked for. For others, unset is left unset: what is fit is copied, and encoding options
 * are obeyed (LiveKit says true there, and always encodes).
 */
function setTranscoding(info: IngressInfo, enable: boolean | undefined, bypass: boolean | undefined): void {
  if (enable !== undefined && bypass === enable) {
    throw invalidBypass('enable_transcoding and the deprecated bypass_transcoding contradict each other');
  }
  const asked = enable ?? (bypass === undefined ? undefined : !bypass);
  if (asked !== undefined) info.enableTranscoding = asked;
  else if (info.inputType === IngressInput.WHIP_INPUT) info.enableTranscoding ??= false;
  info.bypassTranscoding = info.enableTranscoding === false;
}

function checkIngressInfo(info: IngressInfo): void {
  if (info.inputType === IngressInput.URL_INPUT) {
    // Its session begins at once: there is nothing to fill in later. A push input may get its room by an update.
    if (info.roomName === '') throw invalidIngress('no room name');
    if (info.enabled === false) throw invalidIngress('disabled non reusable ingress');
  }
  if (info.participantIdentity === '') throw invalidIngress('no participant identity');
  checkOptionalName('name', info.name);
  checkOptionalName('room_name', info.roomName);
  checkOptionalName('participant_identity', info.participantIdentity);
  checkOptionalName('participant_name', info.participantName);
  checkMetadata('participant_metadata', info.participantMetadata);
  if (info.enableTranscoding === false) {
    for (const kind of ['video', 'audio'] as const) {
      if (info[kind]?.encodingOptions.case === undefined) continue;
      throw invalidBypass(`${kind} encoding options must be empty if transcoding is disabled`);
    }
  }
  checkVideoOptions(info.video);
  checkAudioOptions(info.audio);
}
