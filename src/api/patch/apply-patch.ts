/** The patch types by name. */

import { unreachable } from '../../lib/invariant.ts';
import { unsupportedMediaType } from '../status.ts';
import type { Patch } from '../types.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyStrategicMerge } from './strategic-merge.ts';

const ACCEPTED =
  'application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json';

/**
 * `target` with `patch` applied; uses up `target`. `schema` names its type, undefined where there
 * is none (then a strategic merge is refused, as upstream refuses it for custom resources).
 */
export function applyPatch(schema: string | undefined, target: object, patch: Patch): unknown {
  switch (patch.type) {
    case 'json':
      return applyJsonPatch(target, patch.body);
    case 'merge':
      return applyMergePatch(target, patch.body);
    case 'strategic':
      if (schema === undefined) throw notAccepted('application/strategic-merge-patch+json');
      return applyStrategicMerge(schema, target, patch.body);
    case 'apply':
      throw applyNotSupported();
    default:
      return unreachable(patch.type);
  }
}

/** 415 for server-side apply, with what there is instead. */
export function applyNotSupported(): Error {
  return notAccepted('application/apply-patch+yaml (server-side apply)');
}

function notAccepted(what: string): Error {
  return unsupportedMediaType(
    `the body of the request was in an unsupported format: ${what} - accepted media types include: ${ACCEPTED}`,
  );
}
