/**
 * Failure as the API shows it: ApiError carries a Kubernetes Status with the reason, code, causes
 * and wording that clients branch on. Operational errors of lower layers become a Status here and
 * nowhere else.
 */

import { messageOf, SkeinError } from '../lib/errors.ts';
import { fieldErrorBody, fieldErrorReason, fieldErrorsMessage } from '../resources/field-errors.ts';
import type { FieldError } from '../resources/types.ts';
import type { StatusCause, StatusDetails, StatusObject, Target } from './types.ts';

/** Seconds after which a client may repeat what certainly had no effect. */
const RETRY_AFTER_SECONDS = 1;

/** What a Status is about: enough to word it as upstream does. */
export type Subject = {
  /** Group of the request; '' for core. */
  readonly group: string;
  /** Plural resource name. */
  readonly plural: string;
  /** Kind, for Invalid. */
  readonly kind?: string;
};

/** What a request's errors are about: in the words of the group version that the client speaks. */
export function subjectOf(target: Pick<Target, 'kind' | 'served'>): Subject {
  const { kind, served } = target;
  return { group: served?.group ?? kind.group, plural: kind.plural, kind: kind.kind };
}

/** A failed API call. `status` is sent to the client as it stands. */
export class ApiError extends SkeinError {
  override readonly name = 'ApiError';
  readonly status: StatusObject;

  constructor(status: StatusObject, options: { readonly cause?: unknown } = {}) {
    super('api-status', status.message ?? `status ${status.code}`, {
      ...options,
      retryable: status.code === 409 || status.code === 429 || status.code >= 500,
    });
    this.status = status;
  }

  get reason(): string {
    return this.status.reason ?? '';
  }
}

/** A failure Status as an error. */
export function failure(
  code: number,
  reason: string,
  message: string,
  details?: StatusDetails,
  cause?: unknown,
): ApiError {
  const status: StatusObject = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    ...(details === undefined ? {} : { details }),
    code,
  };
  return new ApiError(status, cause === undefined ? {} : { cause });
}

/** Status Success, the answer to a delete that took effect. */
export function success(details: StatusDetails): StatusObject {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details, code: 200 };
}

function qualified(subject: Subject): string {
  return subject.group === '' ? subject.plural : `${subject.plural}.${subject.group}`;
}

function detailsOf(subject: Subject, name: string): StatusDetails {
  return {
    ...(name === '' ? {} : { name }),
    ...(subject.group === '' ? {} : { group: subject.group }),
    kind: subject.plural,
  };
}

/** 404: `pods "x" not found`. */
export function notFound(subject: Subject, name: string): ApiError {
  return failure(
    404,
    'NotFound',
    `${qualified(subject)} "${name}" not found`,
    detailsOf(subject, name),
  );
}

/** 409: `pods "x" already exists`. */
export function alreadyExists(subject: Subject, name: string): ApiError {
  return failure(
    409,
    'AlreadyExists',
    `${qualified(subject)} "${name}" already exists`,
    detailsOf(subject, name),
  );
}

/** The sentence of a lost optimistic update. */
export const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

/** 409: `Operation cannot be fulfilled on pods "x": <why>`. */
export function conflict(subject: Subject, name: string, why: string = MODIFIED): ApiError {
  return failure(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(subject)} "${name}": ${why}`,
    detailsOf(subject, name),
  );
}

/** 409: a precondition of the request does not hold. `what` is UID or ResourceVersion. */
export function preconditionFailed(
  subject: Subject,
  name: string,
  failed: { readonly what: string; readonly wanted: string; readonly found: string | undefined },
): ApiError {
  const { what, wanted, found = '' } = failed;
  const pair = `${what} in precondition: ${wanted}, ${what} in object meta: ${found}`;
  return conflict(subject, name, `Precondition failed: ${pair}`);
}

/** 403: `pods "x" is forbidden: <why>`. */
export function forbidden(
  subject: Subject,
  name: string,
  why: string,
  causes?: readonly StatusCause[],
): ApiError {
  const what = name === '' ? qualified(subject) : `${qualified(subject)} "${name}"`;
  return failure(403, 'Forbidden', `${what} is forbidden: ${why}`, {
    ...detailsOf(subject, name),
    ...(causes === undefined ? {} : { causes }),
  });
}

/** 400. */
export function badRequest(message: string): ApiError {
  return failure(400, 'BadRequest', message);
}

/** 405: the server does not allow this method on the requested resource. */
export function methodNotSupported(subject: Subject, verb: string): ApiError {
  return failure(
    405,
    'MethodNotAllowed',
    `${verb} is not supported on resources of kind "${qualified(subject)}"`,
    detailsOf(subject, ''),
  );
}

/** 405 in the words of a kind that can only be read; undefined for all others. */
export function writeRefused(target: Pick<Target, 'kind' | 'served'>): ApiError | undefined {
  const { writesRefused } = target.kind;
  if (writesRefused === undefined) return undefined;
  const subject = subjectOf(target);
  return failure(405, 'MethodNotAllowed', writesRefused, detailsOf(subject, ''));
}

/** 415 with a text that says what is supported. */
export function unsupportedMediaType(message: string): ApiError {
  return failure(415, 'UnsupportedMediaType', message);
}

/** 413 for an object that is larger than what may be stored of one. */
export function objectTooLarge(bytes: number, bytesMax: number): ApiError {
  const text = `Request entity too large: the object takes ${bytes} bytes in the store, and the limit is ${bytesMax}`;
  return failure(413, 'RequestEntityTooLarge', text);
}

/** 410 Expired; `metadata.continue` may carry a token to go on inconsistently. */
export function expired(message: string, continueToken?: string): ApiError {
  const base = failure(410, 'Expired', message).status;
  return new ApiError(
    continueToken === undefined ? base : { ...base, metadata: { continue: continueToken } },
  );
}

/** 410 Gone, for watches. */
export function gone(message: string): ApiError {
  return failure(410, 'Expired', message);
}

/** 500. */
export function internalError(error: unknown): ApiError {
  return failure(
    500,
    'InternalError',
    `Internal error occurred: ${messageOf(error)}`,
    { causes: [{ message: messageOf(error) }] },
    error,
  );
}

/** 422: `Pod "x" is invalid: spec.containers: Required value`; one cause per field error. */
export function invalid(subject: Subject, name: string, errors: readonly FieldError[]): ApiError {
  const causes = errors.map((error) => ({
    reason: fieldErrorReason(error),
    message: fieldErrorBody(error),
    field: error.field,
  }));
  const text = fieldErrorsMessage(errors);
  const kind = subject.kind ?? subject.plural;
  const qualifiedKind = subject.group === '' ? kind : `${kind}.${subject.group}`;
  return failure(422, 'Invalid', `${qualifiedKind} "${name}" is invalid: ${text}`, {
    ...(name === '' ? {} : { name }),
    ...(subject.group === '' ? {} : { group: subject.group }),
    kind,
    causes,
  });
}

/** 409 for a write whose leadership has ended; the reason tells it from an optimistic conflict. */
export function fenced(name: string, term: number, newestTerm: number): ApiError {
  return failure(
    409,
    'Fenced',
    `the write carries term ${term} of "${name}", which has ended: the newest term is ${newestTerm}`,
  );
}

/** Turns anything thrown below the API into an ApiError. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (!(error instanceof SkeinError)) return internalError(error);
  switch (error.code) {
    case 'no-leader':
      // No Retry-After: clients would wait out the missing majority ten times over before they say a word.
      return failure(503, 'ServiceUnavailable', noQuorum(error), undefined, error);
    case 'not-leader':
    case 'proposal-dropped':
    case 'peer-unreachable':
      return failure(
        503,
        'ServiceUnavailable',
        noQuorum(error),
        { retryAfterSeconds: RETRY_AFTER_SECONDS },
        error,
      );
    case 'outcome-unknown':
      return failure(
        504,
        'Timeout',
        `the request was sent to the cluster, and its outcome is unknown: ${error.message}`,
        // No Retry-After: a client that repeats a create by itself would report a conflict with its own object.
        undefined,
        error,
      );
    case 'store-full':
      return failure(507, 'InsufficientStorage', error.message, undefined, error);
    case 'frame-too-large':
      return failure(413, 'RequestEntityTooLarge', error.message, undefined, error);
    case 'deadline-exceeded':
    case 'aborted':
      return failure(
        504,
        'Timeout',
        `the request did not end in time: ${error.message}`,
        undefined,
        error,
      );
    default:
      return internalError(error);
  }
}

function noQuorum(error: SkeinError): string {
  return `no quorum of the cluster is reachable, nothing was changed: ${error.message}`;
}
