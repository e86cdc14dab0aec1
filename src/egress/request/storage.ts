/** The storage an output names -> where it goes. */
import type { AliOSSUpload, AzureBlobUpload, GCPUpload, S3Upload } from '@livekit/protocol';
import type { S3Settings, StoragePlan } from '../plan-types.ts';
import { invalid, unimplemented } from './errors.ts';

/** The oneof `output` of file, segments and image outputs. */
export type UploadChoice =
  | { case: 's3'; value: S3Upload }
  | { case: 'gcp'; value: GCPUpload }
  | { case: 'azure'; value: AzureBlobUpload }
  | { case: 'aliOSS'; value: AliOSSUpload }
  | { case: undefined; value?: undefined };

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.hostname !== '';
}

/** S3's rule for bucket names, loosened for stores that allow more. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;

/** Part of a host name: nothing else may come of it. */
const REGION = /^[A-Za-z0-9-]{1,64}$/;

function s3Settings(upload: S3Upload): S3Settings {
  const { bucket, region, endpoint, accessKey, secret, sessionToken } = upload;
  if (!BUCKET.test(bucket)) {
    throw invalid('s3.bucket', bucket === '' ? 'name the bucket' : `"${bucket}" is not a bucket's name`);
  }
  if ((accessKey === '') !== (secret === '')) {
    throw invalid(
      accessKey === '' ? 's3.access_key' : 's3.secret',
      "give both access_key and secret, or neither for the server's own",
    );
  }
  if (sessionToken !== '' && accessKey === '') {
    throw invalid('s3.session_token', 'it counts together with access_key and secret only');
  }
  if (region !== '' && !REGION.test(region)) {
    throw invalid('s3.region', 'it must be the name of a region, such as eu-central-1');
  }
  if (endpoint !== '' && !isHttpUrl(endpoint)) {
    throw invalid('s3.endpoint', 'it must be a URL, http://host[:port] or https://host[:port]');
  }
  if (upload.assumeRoleArn !== '' || upload.assumeRoleExternalId !== '') {
    throw unimplemented('s3.assume_role_arn', 's3.assume_role_arn', 'give access_key and secret');
  }
  if (upload.proxy && (upload.proxy.url !== '' || upload.proxy.username !== '')) {
    throw unimplemented('s3.proxy', 's3.proxy', 'leave it out');
  }
  return {
    bucket,
    region,
    endpoint,
    accessKey,
    secret,
    sessionToken,
    forcePathStyle: upload.forcePathStyle,
    metadata: { ...upload.metadata },
    tagging: upload.tagging,
    contentDisposition: upload.contentDisposition || 'inline',
  };
}

/** @throws RequestError */
export function storageOf(choice: UploadChoice): StoragePlan {
  const instead = "use s3, or no storage for the server's own";
  switch (choice.case) {
    case undefined:
      return { type: 'default' };
    case 's3':
      return { type: 's3', s3: s3Settings(choice.value) };
    case 'gcp':
      throw unimplemented('gcp', 'storage gcp (Google Cloud Storage)', instead);
    case 'azure':
      throw unimplemented('azure', 'storage azure (Azure Blob Storage)', instead);
    case 'aliOSS':
      throw unimplemented('aliOSS', 'storage aliOSS (Alibaba Cloud OSS)', instead);
  }
}

/** Storages of a plan, each kept once. */
export class StorageList {
  readonly plans: StoragePlan[] = [];

  /** @returns index of the storage in {@link plans}. @throws RequestError */
  add(choice: UploadChoice): number {
    const plan = storageOf(choice);
    const text = JSON.stringify(plan);
    const known = this.plans.findIndex((each) => JSON.stringify(each) === text);
    return known >= 0 ? known : this.plans.push(plan) - 1;
  }
}
