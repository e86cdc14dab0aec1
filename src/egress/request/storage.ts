/** The storage an output names -> where it goes. */
import type { AliOSSUpload, AzureBlobUpload, GCPUpload, S3Upload } from '@livekit/protocol';
import type { S3Settings, StoragePlan } from '../plan/types.ts';
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

/** IAM's rules, loosened for stores that have roles of their own. */
const ROLE_ARN = /^arn:[\w-]+:[\w-]*:[\w-]*:[\w-]*:[\w+=,.@:/-]+$/;
const MAX_ARN = 2048;
const EXTERNAL_ID = /^[\w+=,.@:/-]{2,1224}$/;

function roleOf({
  assumeRoleArn: arn,
  assumeRoleExternalId: externalId,
}: S3Upload): S3Settings['assumeRole'] {
  if (arn === '' && externalId === '') return undefined;
  if (arn === '') throw invalid('s3.assume_role_arn', 'name the role that assume_role_external_id is for');
  if (arn.length > MAX_ARN || !ROLE_ARN.test(arn)) {
    throw invalid('s3.assume_role_arn', 'it must be a role, such as arn:aws:iam::123456789012:role/name');
  }
  if (externalId !== '' && !EXTERNAL_ID.test(externalId)) {
    throw invalid(
      's3.assume_role_external_id',
      'it must be 2 to 1224 letters, digits and characters of +=,.@:/-_',
    );
  }
  return { arn, externalId };
}

function proxyOf({ proxy }: S3Upload): S3Settings['proxy'] {
  if (!proxy || (proxy.url === '' && proxy.username === '' && proxy.password === '')) return undefined;
  const { url, username, password } = proxy;
  const parsed = URL.parse(url);
  if (!isHttpUrl(url) || parsed?.pathname !== '/' || parsed.search !== '') {
    throw invalid('s3.proxy.url', 'it must be the URL of a proxy, http://host[:port] or https://host[:port]');
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw invalid('s3.proxy.url', 'give the user and the password as username and password');
  }
  if (username === '' && password !== '') throw invalid('s3.proxy.username', 'a password needs one');
  return { url, username, password };
}

/** S3's limits. */
const MAX_TAGS = 10;
const MAX_TAG_KEY = 128;
const MAX_TAG_VALUE = 256;

function checkTagging(tagging: string): void {
  if (tagging === '') return;
  const tags = [...new URLSearchParams(tagging)];
  const problem =
    tags.length > MAX_TAGS
      ? `${tags.length} tags are too many; S3 takes ${MAX_TAGS}`
      : new Set(tags.map(([key]) => key)).size < tags.length
        ? 'each tag can be there once'
        : tags.some(([key]) => key === '' || key.length > MAX_TAG_KEY)
          ? `a tag's name has 1 to ${MAX_TAG_KEY} characters`
          : tags.some(([, value]) => value.length > MAX_TAG_VALUE)
            ? `a tag's value has at most ${MAX_TAG_VALUE} characters`
            : // eslint-disable-next-line no-control-regex -- control characters are what is looked for
              /[\u0000-\u0020\u007f-\uffff]/.test(tagging)
              ? 'write it as the query of a URL, a=b&c=d, with other characters encoded'
              : undefined;
  if (problem !== undefined) throw invalid('s3.tagging', problem);
}

function s3Settings(upload: S3Upload): S3Settings {
  const { bucket, region, endpoint, accessKey, secret, sessionToken } = upload;
  if (!BUCKET.test(bucket)) {
    throw invalid(
      's3.bucket',
      bucket === '' ? 'name the bucket' : `"${bucket.slice(0, 64)}" is not a bucket's name`,
    );
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
  checkTagging(upload.tagging);
  const assumeRole = roleOf(upload);
  const proxy = proxyOf(upload);
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
    ...(assumeRole && { assumeRole }),
    ...(proxy && { proxy }),
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
