/** JSON patch (RFC 6902), with the failures worded for a Status. */

import fastJsonPatch, { type Operation } from 'fast-json-patch';
import { messageOf } from '../../lib/errors.ts';
import { badRequest, failure } from '../status.ts';
import { isRecord, requireShallow } from '../verbs/json.ts';

/** Operations of one patch, as upstream limits them. */
const OPERATIONS_MAX = 10_000;
/** What all copies of one patch may add together, as upstream limits it: copies of copies grow without end. */
const COPIED_BYTES_MAX = 3 * 1024 * 1024;

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
    let document: unknown = target;
    let copied = 0;
    for (const [at, operation] of operations.entries()) {
      if (operation.op === 'copy') copied += copiedBytes(document, operation.from);
      if (copied > COPIED_BYTES_MAX) {
        throw new Error(
          `Unable to complete the copy, the accumulated size increase of copy is ${copied}, exceeding the limit ${COPIED_BYTES_MAX}`,
        );
      }
      const outcome = fastJsonPatch.applyOperation(document, operation, true, true, true, at);
      if (outcome.test === false) throw new Error('Test operation failed');
      document = outcome.newDocument;
    }
    requireShallow(document);
    return document;
  } catch (error) {
    throw unprocessable(firstLine(messageOf(error)));
  }
}

/** How much a copy of what stands at `from` adds. An invalid pointer adds nothing, and is refused when applied. */
function copiedBytes(document: unknown, from: unknown): number {
  if (typeof from !== 'string') return 0;
  const value: unknown = fastJsonPatch.getValueByPointer(document, from);
  return value === undefined ? 0 : JSON.stringify(value).length;
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
