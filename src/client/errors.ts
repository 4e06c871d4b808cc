/** What callers of the client branch on when a call fails. Never on message text. */

import { ApiError } from '../api/status.ts';

export { ApiError };

function hasReason(error: unknown, reason: string): boolean {
  return error instanceof ApiError && error.reason === reason;
}

/** The object (or its namespace) is not there. */
export function isNotFound(error: unknown): boolean {
  return hasReason(error, 'NotFound');
}

/** Create met an object of that name. */
export function isAlreadyExists(error: unknown): boolean {
  return hasReason(error, 'AlreadyExists');
}

/** The object changed since it was read, or a precondition failed: read again. */
export function isConflict(error: unknown): boolean {
  return hasReason(error, 'Conflict');
}

/** Validation refused the object. */
export function isInvalid(error: unknown): boolean {
  return hasReason(error, 'Invalid');
}

/** Admission or authorization refused the request. */
export function isForbidden(error: unknown): boolean {
  return hasReason(error, 'Forbidden');
}

/** An eviction that the disruption budget does not allow now. */
export function isTooManyRequests(error: unknown): boolean {
  return hasReason(error, 'TooManyRequests');
}

/** The write carried the term of a leadership that has ended: stop acting. */
export function isFenced(error: unknown): boolean {
  return hasReason(error, 'Fenced');
}

/** Create in a namespace that is being removed. */
export function isNamespaceTerminating(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    error.reason === 'Forbidden' &&
    (error.status.details?.causes ?? []).some((cause) => cause.reason === 'NamespaceTerminating')
  );
}

/** No quorum, a time-out or an internal error: the same call may succeed later. */
export function isTransient(error: unknown): boolean {
  return error instanceof ApiError && (error.status.code === 429 || error.status.code >= 500);
}
