/** Failures that only the HTTP layer knows, in upstream's words. */

import { type ApiError, failure } from '../status.ts';
import type { ResourcePath } from './path.ts';

/** 404 for paths and resources that are not served. */
export function unknownPath(): ApiError {
  return failure(404, 'NotFound', 'the server could not find the requested resource', {});
}

/** 404 for a resource that this server does not have, named as client-go names it. */
export function unknownResource(verb: string, path: ResourcePath): ApiError {
  const { group, plural, version } = path;
  const what = group === '' ? plural : `${plural}.${group}`;
  const why = `the server could not find the requested resource (${verb} ${what}, version ${version})`;
  return failure(404, 'NotFound', why, {});
}

/** 405 for a method that the resource does not have. */
export function wrongMethod(): ApiError {
  return failure(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    {},
  );
}

/** 401 for a request that proves nothing about its sender. */
export function unauthorized(): ApiError {
  return failure(401, 'Unauthorized', 'Unauthorized');
}

/** 429 for a watch whose client does not read: it may resume from what it saw last. */
export function tooSlow(): ApiError {
  return failure(
    429,
    'TooManyRequests',
    'the watch was cut off because the client did not read its events; resume from the last resourceVersion',
    { retryAfterSeconds: 1 },
  );
}

/** 429 when more is going on than the server takes. */
export function tooManyRequests(): ApiError {
  return failure(429, 'TooManyRequests', 'Too many requests, please try again later.', {
    retryAfterSeconds: 1,
  });
}
