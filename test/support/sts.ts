/** An STS of a test's own: it checks the signature (AWS Signature Version 4) and what is asked, as the real one does. */
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StsOptions {
  /** Who may ask. */
  accessKey: string;
  secret: string;
  roleArn: string;
  externalId: string;
  /** What is answered. */
  credentials: { accessKey: string; secret: string; sessionToken: string };
  /** Where it listens; default: 127.0.0.1. */
  host?: string;
}

export interface Sts {
  readonly endpoint: string;
  /** Roles that were given out. */
  readonly given: string[];
  close(): Promise<void>;
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Whether a request was signed with the secret. */
function isSigned(request: IncomingMessage, body: string, secret: string): boolean {
  const { authorization = '' } = request.headers;
  const [, scope = '', names = '', signature = ''] =
    /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+), Signature=(\w+)/.exec(authorization) ?? [];
  const [date = '', region = '', service = ''] = scope.split('/');
  const canonical = [
    ...[request.method, '/', ''],
    ...names.split(';').map((name) => `${name}:${String(request.headers[name]).trim()}`),
    ...['', names, hash(body)],
  ].join('\n');
  const signed = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, hash(canonical)].join('\n');
  const key = [date, region, service, 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${secret}`);
  return hmac(key, signed).toString('hex') === signature;
}

const failure = (code: string): string =>
  `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>`;

export async function startSts(options: StsOptions): Promise<Sts> {
  const { accessKey, secret, roleArn, externalId, credentials, host = '127.0.0.1' } = options;
  const given: string[] = [];
  const answer = async (request: IncomingMessage): Promise<[number, string]> => {
    let body = '';
    for await (const part of request) body += String(part);
    const asked = new URLSearchParams(body);
    const known = request.headers.authorization?.includes(`Credential=${accessKey}/`) === true;
    if (!known) return [403, failure('InvalidClientTokenId')];
    if (!isSigned(request, body, secret)) return [403, failure('SignatureDoesNotMatch')];
    const allowed = asked.get('RoleArn') === roleArn && asked.get('ExternalId') === externalId;
    if (asked.get('Action') !== 'AssumeRole' || !allowed) return [403, failure('AccessDenied')];
    given.push(`${asked.get('RoleSessionName') ?? ''} ${roleArn}`);
    const expires = new Date(Date.now() + 3_600_000).toISOString();
    return [
      200,
      `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>${credentials.accessKey}</AccessKeyId><SecretAccessKey>${credentials.secret}</SecretAccessKey><SessionToken>${credentials.sessionToken}</SessionToken><Expiration>${expires}</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>`,
    ];
  };
  const server = createServer((request, response) => {
    void answer(request).then(([status, text]) =>
      response.writeHead(status, { 'content-type': 'text/xml' }).end(text),
    );
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    endpoint: `http://${host}:${(server.address() as AddressInfo).port}`,
    given,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
