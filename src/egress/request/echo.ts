/** The request as EgressInfo echoes it: without keys, secrets and stream keys, the way LiveKit hides them. */
import {
  ParticipantEgressRequest,
  RoomCompositeEgressRequest,
  StartEgressRequest,
  TrackCompositeEgressRequest,
  WebEgressRequest,
} from '@livekit/protocol';
import type { EgressInfo, StreamOutput, TrackEgressRequest } from '@livekit/protocol';
import { redactStreamUrl, redactUrl } from '../../redact.ts';
import type { EncodedRequest } from './outputs.ts';
import type { UploadChoice } from './storage.ts';
import type { StartRequest } from './types.ts';

const hide = (secret: string, placeholder: string): string => (secret === '' ? '' : placeholder);

function redactUpload(upload: UploadChoice): void {
  switch (upload.case) {
    case 's3': {
      const s3 = upload.value;
      s3.accessKey = hide(s3.accessKey, '{access_key}');
      s3.secret = hide(s3.secret, '{secret}');
      s3.assumeRoleExternalId = hide(s3.assumeRoleExternalId, '{external_id}');
      s3.sessionToken = hide(s3.sessionToken, '{session_token}');
      if (s3.proxy) {
        s3.proxy.username = hide(s3.proxy.username, '{username}');
        s3.proxy.password = hide(s3.proxy.password, '{password}');
        // One with credentials in it is refused; what is refused is not to be shown either.
        s3.proxy.url = redactUrl(s3.proxy.url);
      }
      return;
    }
    case 'gcp':
      upload.value.credentials = hide(upload.value.credentials, '{credentials}');
      return;
    case 'azure':
      upload.value.accountName = hide(upload.value.accountName, '{account_name}');
      upload.value.accountKey = hide(upload.value.accountKey, '{account_key}');
      return;
    case 'aliOSS':
      upload.value.accessKey = hide(upload.value.accessKey, '{access_key}');
      upload.value.secret = hide(upload.value.secret, '{secret}');
      return;
    case undefined:
      return;
  }
}

function redactStream(stream: StreamOutput): void {
  stream.urls = stream.urls.map(redactStreamUrl);
}

function redactEncoded(request: EncodedRequest): void {
  for (const file of request.fileOutputs) redactUpload(file.output);
  for (const segments of request.segmentOutputs) redactUpload(segments.output);
  for (const images of request.imageOutputs) redactUpload(images.output);
  for (const stream of request.streamOutputs) redactStream(stream);
  const output = request.output ?? { case: undefined };
  if (output.case === 'stream') redactStream(output.value);
  else if (output.case !== undefined) redactUpload(output.value.output);
}

function redactStart({ source, outputs, storage }: StartEgressRequest): void {
  if (source.case === 'template') source.value.customBaseUrl = redactUrl(source.value.customBaseUrl);
  if (source.case === 'web') source.value.url = redactUrl(source.value.url);
  if (storage) redactUpload(storage.provider);
  for (const { config, storage: own } of outputs) {
    if (own) redactUpload(own.provider);
    if (config.case === 'stream') redactStream(config.value);
    else if (config.case === 'segments' || config.case === 'images') redactUpload(config.value.output);
  }
}

function redactTrack(request: TrackEgressRequest): void {
  const { output } = request;
  if (output.case === 'file') redactUpload(output.value.output);
  if (output.case === 'websocketUrl') output.value = redactStreamUrl(output.value);
}

/** A redacted copy; the request itself is not changed. */
export function echoed(request: StartRequest): EgressInfo['request'] {
  const copy = request.clone();
  for (const webhook of copy.webhooks) webhook.url = redactUrl(webhook.url);
  if (copy instanceof RoomCompositeEgressRequest) {
    copy.customBaseUrl = redactUrl(copy.customBaseUrl);
    redactEncoded(copy);
    return { case: 'roomComposite', value: copy };
  }
  if (copy instanceof TrackCompositeEgressRequest) {
    redactEncoded(copy);
    return { case: 'trackComposite', value: copy };
  }
  if (copy instanceof WebEgressRequest) {
    copy.url = redactUrl(copy.url);
    redactEncoded(copy);
    return { case: 'web', value: copy };
  }
  if (copy instanceof ParticipantEgressRequest) {
    redactEncoded(copy);
    return { case: 'participant', value: copy };
  }
  if (copy instanceof StartEgressRequest) {
    redactStart(copy);
    return { case: 'egress', value: copy };
  }
  redactTrack(copy);
  return { case: 'track', value: copy };
}
