/** Failures that only the HTTP layer knows, in upstream's words. */

import { type ApiError, failure } from '../status.ts';

/** 404 for paths and resources that are not served. */
export function unknownPath(): ApiError {
  return failure(404, 'NotFound', 'the server could not find the requested resource', {});
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

/** 429 when more is going on than the server takes. */
export function tooManyRequests(): ApiError {
  return failure(429, 'TooManyRequests', 'Too many requests, please try again later.', {
    retryAfterSeconds: 1,
  });
}
