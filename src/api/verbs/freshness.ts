/**
 * How recent a read must be: what `resourceVersion` asks for, and waiting until the local replica
 * has it.
 */

import { SkeinError } from '../../lib/errors.ts';
import type { Revision } from '../../store/types.ts';
import { badRequest, failure } from '../status.ts';
import type { RequestContext } from '../types.ts';
import type { VerbsContext } from './components.ts';

/** Longest wait for a revision that the local replica has not applied yet. */
const FUTURE_WAIT_MS = 3_000;
/** Elections take one or two seconds at worst; who waits for longer waits for a majority that is not there. */
const READ_DEADLINE_MS = 4_000;

/** A resourceVersion parameter as a number; undefined if it is absent. */
export function parseRevision(text: string | undefined): Revision | 0 | undefined {
  if (text === undefined || text === '') return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) {
    throw badRequest(`Invalid value: ${JSON.stringify(text)}: resourceVersion must be a number`);
  }
  return value as Revision | 0;
}

/** Resolves when the local replica shows every write acknowledged so far. */
export function barrier(verbs: VerbsContext, context: RequestContext): Promise<void> {
  const { signal } = context;
  const deadlineMs = READ_DEADLINE_MS;
  return verbs.store.readBarrier(signal === undefined ? { deadlineMs } : { deadlineMs, signal });
}

/**
 * Resolves when the local replica has applied `revision`; 504 as upstream words it if that takes
 * too long.
 */
export async function notOlderThan(
  verbs: VerbsContext,
  context: RequestContext,
  revision: Revision,
): Promise<void> {
  const { store } = verbs;
  if (store.revision() >= revision) return;
  const { signal } = context;
  const wait = { deadlineMs: FUTURE_WAIT_MS };
  try {
    await store.waitForRevision(revision, signal === undefined ? wait : { ...wait, signal });
  } catch (error) {
    if (!(error instanceof SkeinError) || error.code !== 'deadline-exceeded') throw error;
    const current = store.revision();
    throw failure(
      504,
      'Timeout',
      `Timeout: Too large resource version: ${revision}, current: ${current}`,
      {
        causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
        retryAfterSeconds: 1,
      },
    );
  }
}

/**
 * Waits as the resourceVersion of a read asks: absent: for all acknowledged writes; 0: not at all.
 */
export async function freshEnough(
  verbs: VerbsContext,
  context: RequestContext,
  resourceVersion: string | undefined,
): Promise<void> {
  const revision = parseRevision(resourceVersion);
  if (revision === undefined) return barrier(verbs, context);
  if (revision !== 0) return notOlderThan(verbs, context, revision);
}
