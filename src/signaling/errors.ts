/** What goes wrong in a WHIP or WHEP request, as HTTP says it (RFC 9457 problem details). */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { AuthError } from '../auth/errors.ts';
import { WhipIngressError } from '../ingress/whip/types.ts';
import { SfuError } from '../sfu/types.ts';
import { SdpError } from './sdp/errors.ts';

export type ProblemStatus = 400 | 401 | 403 | 404 | 405 | 406 | 409 | 412 | 413 | 415 | 428 | 429 | 500 | 503;

/** Thrown by the handlers; `message` is for the client. */
export class SignalingError extends Error {
  readonly status: ProblemStatus;
  constructor(status: ProblemStatus, message: string) {
    super(message);
    this.name = 'SignalingError';
    this.status = status;
  }
}

const TITLES: Readonly<Record<ProblemStatus, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

const SFU_STATUS: Readonly<Record<SfuError['code'], ProblemStatus>> = {
  not_found: 404,
  already_exists: 409,
  invalid_argument: 400,
  resource_exhausted: 429,
  failed_precondition: 409,
  permission_denied: 403,
  unavailable: 503,
};

const INGRESS_STATUS: Readonly<Record<WhipIngressError['code'], ProblemStatus>> = {
  not_found: 404,
  forbidden: 403,
  busy: 409,
  unavailable: 503,
};

/** Whatever was thrown as what the client is told. Unknown errors say nothing of what is inside. */
export function toSignalingError(error: unknown): SignalingError {
  if (error instanceof SignalingError) return error;
  if (error instanceof SdpError) return new SignalingError(400, error.message);
  if (error instanceof SfuError) return new SignalingError(SFU_STATUS[error.code], error.message);
  if (error instanceof WhipIngressError) return new SignalingError(INGRESS_STATUS[error.code], error.message);
  if (error instanceof AuthError) {
    return new SignalingError(error.code === 'unauthenticated' ? 401 : 403, error.message);
  }
  switch (fastifyStatus(error)) {
    case 400:
      return new SignalingError(400, 'the request cannot be read');
    case 413:
      return new SignalingError(413, 'the body is too large');
    case 415:
      return new SignalingError(415, 'the body has another media type than this request needs');
    default:
      return new SignalingError(500, 'internal error');
  }
}

function fastifyStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** For `setErrorHandler`. */
export function problemHandler(logger: Logger) {
  return async (thrown: unknown, request: FastifyRequest, reply: FastifyReply): Promise<Buffer> => {
    const problem = toSignalingError(thrown);
    const { method, routeOptions } = request;
    const line = { method, route: routeOptions.url, status: problem.status };
    if (problem.status === 500) logger.error({ ...line, err: thrown }, 'signalling request failed');
    else logger.info({ ...line, reason: problem.message }, 'signalling request refused');
    if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
    if (problem.status === 503) reply.header('retry-after', '2');
    reply.code(problem.status).type('application/problem+json');
    // As bytes: to a string fastify would add a charset, which problem details do not have.
    return Buffer.from(
      JSON.stringify({
        type: 'about:blank',
        title: TITLES[problem.status],
        status: problem.status,
        detail: problem.message,
      }),
    );
  };
}
