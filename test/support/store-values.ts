/** Builds operations the way the API does: JSON with a place for the revision. */

import type { Operation } from '../../src/store/types.ts';

const BEFORE_REVISION = '{"metadata":{"resourceVersion":"';

/** A put of `{metadata: {resourceVersion}, ...fields}`. */
export function put(key: string, fields: object): Operation {
  const rest = JSON.stringify(fields).slice(1);
  const value = Buffer.from(`${BEFORE_REVISION}"}${rest === '}' ? '' : ','}${rest}`);
  return { op: 'put', key, value, revisionOffset: BEFORE_REVISION.length };
}

/** A delete of `key`. */
export function del(key: string): Operation {
  return { op: 'delete', key };
}
