/** What an S3 store is asked with: keys, or a role's, asked of STS and again before they run out. */
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import type { CheckedAgents } from '../outbound/index.ts';
import { GuardError } from '../outbound/index.ts';
import { StorageError } from './types.ts';
import type { S3Settings } from './types.ts';

interface RoleCredentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  expiration: Date;
}

/** Shown in the account's log of who did what. */
const SESSION_NAME = 'sluice';
const CONNECT_MS = 5000;
const IDLE_MS = 15_000;
/** Without a word of when they run out they are taken to last this long, ms: STS's default. */
const DEFAULT_LIFE_MS = 3_600_000;

/** How STS is asked. */
export interface StsRequests {
  maxAttempts: number;
  retryStrategy: NonNullable<S3ClientConfig['retryStrategy']>;
  /** Undefined: connects by itself. */
  agents: CheckedAgents | undefined;
}

/** Without any the SDK looks for them in this process's surroundings. */
export function withCredentials(
  settings: S3Settings,
  requests: StsRequests,
): Pick<S3ClientConfig, 'credentials'> {
  const { accessKey, secret, sessionToken, assumeRole } = settings;
  const own =
    accessKey === ''
      ? undefined
      : {
          ...{ accessKeyId: accessKey, secretAccessKey: secret },
          ...(sessionToken === '' ? {} : { sessionToken }),
        };
  if (assumeRole) return { credentials: roleCredentials({ ...settings, assumeRole }, own, requests) };
  return own ? { credentials: own } : {};
}

/**
 * For the SDK, which keeps what it is given until shortly before it runs out.
 * @param base what STS is asked with; undefined: what the SDK finds in this process's surroundings
 * @throws StorageError when answering: the role is refused, or STS cannot be reached
 */
function roleCredentials(
  settings: Pick<S3Settings, 'bucket' | 'region' | 'stsEndpoint'> & {
    assumeRole: NonNullable<S3Settings['assumeRole']>;
  },
  base: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined,
  { maxAttempts, retryStrategy, agents }: StsRequests,
): () => Promise<RoleCredentials> {
  const { bucket, region, stsEndpoint, assumeRole } = settings;
  return async () => {
    const client = new STSClient({
      ...{ region, maxAttempts, retryStrategy },
      ...(stsEndpoint ? { endpoint: stsEndpoint } : {}),
      ...(base && { credentials: base }),
      requestHandler: {
        ...{ connectionTimeout: CONNECT_MS, socketTimeout: IDLE_MS },
        ...(agents && { httpAgent: agents.http, httpsAgent: agents.https }),
      },
    });
    try {
      const { Credentials: found } = await client.send(
        new AssumeRoleCommand({
          ...{ RoleArn: assumeRole.arn, RoleSessionName: SESSION_NAME },
          ...(assumeRole.externalId !== '' && { ExternalId: assumeRole.externalId }),
        }),
      );
      const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = found ?? {};
      if (!AccessKeyId || !SecretAccessKey || !SessionToken) throw new Error('STS gave no credentials');
      return {
        ...{ accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken },
        expiration: Expiration ?? new Date(Date.now() + DEFAULT_LIFE_MS),
      };
    } catch (error) {
      throw explain(error, `S3 bucket ${bucket}: the role ${assumeRole.arn} cannot be assumed`);
    } finally {
      // Destroys agents of its own only: ours are the storage's to close.
      if (!agents) client.destroy();
    }
  };
}

/** The SDK's messages may quote the request: names and numbers only. */
function explain(error: unknown, what: string): Error {
  if (error instanceof Error && error.name === 'AbortError') return error;
  if (error instanceof GuardError) {
    return new StorageError(error.retry ? 'destination' : 'user', 403, `${what}: ${error.message}`);
  }
  const { name = 'unknown error', $metadata } = error as {
    name?: string;
    $metadata?: { httpStatusCode?: number };
  };
  const status = $metadata?.httpStatusCode;
  const detail = status === undefined ? name : `${name}, HTTP ${status}`;
  return status !== undefined && status >= 400 && status < 500
    ? new StorageError('user', 403, `${what} (${detail}): check the role, its trust and the external id`)
    : new StorageError('destination', 503, `${what}: STS cannot be reached or has a problem (${detail})`);
}
