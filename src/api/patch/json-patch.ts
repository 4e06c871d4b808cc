/** JSON patch (RFC 6902), with the failures worded for a Status. */

import fastJsonPatch, { type Operation } from 'fast-json-patch';
import { messageOf } from '../../lib/errors.ts';
import { badRequest, failure } from '../status.ts';
import { isRecord } from '../verbs/json.ts';

/** Operations of one patch, as upstream limits them. */
const OPERATIONS_MAX = 10_000;

/**
 * The target with the patch applied. Uses up `target`. 422 if an operation does not apply (a failed
 * `test` among them).
 */
export function applyJsonPatch(target: object, patch: unknown): unknown {
  if (!Array.isArray(patch) || !patch.every(isRecord)) {
    throw badRequest('error decoding patch: a JSON patch is a list of operations');
  }
  if (patch.length > OPERATIONS_MAX) {
    const text = `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, got ${patch.length}`;
    throw failure(413, 'RequestEntityTooLarge', text);
  }
  try {
    // Values of the patch go into the result, which the caller modifies: they must not be shared.
    const operations = structuredClone(patch) as unknown as Operation[];
    return fastJsonPatch.applyPatch(target, operations, true, true).newDocument;
  } catch (error) {
    throw unprocessable(firstLine(messageOf(error)));
  }
}

/** 422 for a patch that is well-formed but does not fit the object. */
export function unprocessable(why: string): Error {
  return failure(422, 'Invalid', `the server rejected our request due to an error in our request`, {
    causes: [{ reason: 'UnexpectedServerResponse', message: why }],
  });
}

/** The library appends a dump of the whole tree. */
function firstLine(text: string): string {
  const end = text.indexOf('\n');
  return end < 0 ? text : text.slice(0, end);
}
