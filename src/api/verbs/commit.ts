/**
 * The one door to the store for writes: fences, deadlines, and what the outcomes mean to a client.
 */

import type {
  Check,
  Operation,
  Revision,
  StoredObject,
  TransactionResult,
} from '../../store/types.ts';
import { fenced, objectTooLarge } from '../status.ts';
import type { RequestContext } from '../types.ts';
import type { VerbsContext } from './components.ts';
import { type Encoded, versionAt } from './encode.ts';
import { barrier } from './freshness.ts';

/** Largest object, as stored: what upstream's database takes in one request. */
export const OBJECT_BYTES_MAX = 1.5 * 1024 * 1024;

export type Write = {
  readonly checks: readonly Check[];
  readonly operations: readonly Operation[];
};

export type Committed = Exclude<TransactionResult, { readonly kind: 'fenced' }>;

/** Applies a write. Rejects when the fence is stale, an object too large, or the store cannot take it. */
export async function commit(
  verbs: VerbsContext,
  context: RequestContext,
  write: Write,
): Promise<Committed> {
  const { fence, signal } = context;
  const deadlineMs = verbs.settings.writeDeadlineMs;
  for (const operation of write.operations) {
    const bytes = operation.op === 'put' ? operation.value.length : 0;
    if (bytes > OBJECT_BYTES_MAX) throw objectTooLarge(bytes, OBJECT_BYTES_MAX);
  }
  const result = await verbs.store.transact(
    fence === undefined ? write : { ...write, fence },
    signal === undefined ? { deadlineMs } : { deadlineMs, signal },
  );
  if (result.kind === 'fenced') {
    throw fenced(fence?.name ?? '', fence?.term ?? 0, result.newestTerm);
  }
  return result;
}

/**
 * The stored version that a put of `encoded` at `revision` made; the store's own if it still holds
 * that.
 */
export function committedVersion(
  verbs: VerbsContext,
  put: { readonly key: string; readonly encoded: Encoded; readonly revision: Revision },
  createRevision: Revision,
): StoredObject {
  const { key, encoded, revision } = put;
  const held = verbs.store.get(key);
  if (held !== undefined && held.revision === revision) return held;
  return versionAt(key, encoded, revision, createRevision);
}

/** After a lost race: resolves when the local replica shows what won. */
export async function catchUp(
  verbs: VerbsContext,
  context: RequestContext,
  found: Revision | 0,
): Promise<void> {
  if (found === 0) return barrier(verbs, context);
  const { signal } = context;
  const wait = { deadlineMs: verbs.settings.writeDeadlineMs };
  await verbs.store.waitForRevision(found, signal === undefined ? wait : { ...wait, signal });
}
