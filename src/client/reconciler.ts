/**
 * Runs a reconciler: informers name the keys that may need work, the queue serializes them,
 * `reconcile` compares the wanted with the present state of one key and acts. Level-triggered:
 * `reconcile` never learns what happened, so a lost or merged event changes nothing.
 *
 * A throw becomes a retry with backoff. An InvariantError does not: it ends the run, so that
 * whoever hosts the reconciler restarts it with fresh state.
 */

import { withDeadline } from '../lib/async.ts';
import type { BackoffOptions } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { InvariantError, unreachable } from '../lib/invariant.ts';
import type { Logger } from '../lib/logger.ts';
import type { Random } from '../lib/random.ts';
import { isConflict, isNamespaceTerminating } from './errors.ts';
import type { Client, InformerEvent, KindMap, KindName, ReconcileResult } from './types.ts';
import { RETRY_BACKOFF, WorkQueue } from './work-queue.ts';

/** One kind to watch, and the keys that an object of it concerns. */
export type ReconcilerWatch = { [K in KindName]: WatchOf<K> }[KindName];

export type WatchOf<K extends KindName> = {
  readonly kind: K;
  /** Keys to reconcile. Called for both versions when an object changes. */
  readonly keys: (object: KindMap[K]) => readonly string[];
  /** Changes that matter. Default: all. */
  readonly filter?: (event: InformerEvent<KindMap[K]>) => boolean;
};

export type ReconcilerOptions = {
  /** Names the reconciler in logs. */
  readonly name: string;
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
  /** Ends the run: work in progress is aborted, nothing more is started. */
  readonly signal: AbortSignal;
  /** Keys worked on at once. Default 4. */
  readonly concurrency?: number;
  readonly watches: readonly ReconcilerWatch[];
  /**
   * Longest time for one call of `reconcile`; then its signal fires and the key is retried. Default
   * 2 min.
   */
  readonly timeoutMs?: number;
  readonly backoff?: BackoffOptions;
  reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult>;
};

/** A running reconciler. */
export interface Reconciler {
  /** Queues a key for a reason that no informer sees. */
  add(key: string): void;
  addAfter(key: string, delayMs: number): void;
  readonly queue: WorkQueue;
  /**
   * Resolves when the signal ended the run and the workers have returned; rejects with an
   * InvariantError.
   */
  readonly stopped: Promise<void>;
}

const CONCURRENCY_DEFAULT = 4;
const TIMEOUT_DEFAULT_MS = 120_000;
/** Failures in a row after which a retry is logged as a warning rather than for debugging. */
const QUIET_FAILURES = 3;

/** Starts the informers, waits until all are synced, then works until the signal fires. */
export function runReconciler(options: ReconcilerOptions): Reconciler {
  const queue = new WorkQueue(options, options.backoff ?? RETRY_BACKOFF);
  const stopped = run(options, queue);
  return {
    add: (key) => queue.add(key),
    addAfter: (key, delayMs) => queue.addAfter(key, delayMs),
    queue,
    stopped,
  };
}

async function run(options: ReconcilerOptions, queue: WorkQueue): Promise<void> {
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const unsubscribes: (() => void)[] = [];
  try {
    for (const watch of options.watches) unsubscribes.push(subscribe(options.client, watch, queue));
    // Deciding before every cache is complete would, say, create pods that exist already.
    for (const { kind } of options.watches) await options.client.informer(kind).whenSynced(signal);
    const workers = Array.from({ length: options.concurrency ?? CONCURRENCY_DEFAULT }, () =>
      work(options, queue, signal).catch((error: unknown) => {
        failure.abort(error);
        throw error;
      }),
    );
    const outcomes = await Promise.allSettled(workers);
    const broken = outcomes.find((outcome) => outcome.status === 'rejected');
    if (broken !== undefined) throw broken.reason;
  } catch (error) {
    if (!options.signal.aborted) throw error;
  } finally {
    for (const unsubscribe of unsubscribes) unsubscribe();
    queue.close();
  }
}

function subscribe<K extends KindName>(
  client: Client,
  watch: WatchOf<K> | ReconcilerWatch,
  queue: WorkQueue,
): () => void {
  // The union's members differ only in their type argument; one call treats them all alike.
  const { kind, keys, filter } = watch as WatchOf<K>;
  return client.informer(kind).subscribe((event) => {
    if (filter !== undefined && !filter(event)) return;
    for (const key of keys(event.object)) queue.add(key);
    if (event.type === 'modified') for (const key of keys(event.previous)) queue.add(key);
  });
}

async function work(
  options: ReconcilerOptions,
  queue: WorkQueue,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    let key: string;
    try {
      key = await queue.take(signal);
    } catch {
      return;
    }
    try {
      await reconcileOnce(options, queue, key, signal);
    } finally {
      queue.done(key);
    }
  }
}

async function reconcileOnce(
  options: ReconcilerOptions,
  queue: WorkQueue,
  key: string,
  signal: AbortSignal,
): Promise<void> {
  const { name, clock, logger, timeoutMs = TIMEOUT_DEFAULT_MS } = options;
  let result: ReconcileResult;
  try {
    result = await withDeadline((inner) => options.reconcile(key, inner), {
      deadlineMs: timeoutMs,
      clock,
      what: `${name} of ${key}`,
      signal,
    });
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof InvariantError) {
      logger.error({ reconciler: name, key, error }, 'a law of the reconciler does not hold');
      throw error;
    }
    const failures = queue.failures(key);
    const delayMs = Math.round(queue.addRateLimited(key));
    const facts = { reconciler: name, key, failures: failures + 1, delayMs, error };
    const expected = isConflict(error) || isNamespaceTerminating(error);
    if (expected || failures < QUIET_FAILURES) logger.debug(facts, 'reconcile failed, will retry');
    else logger.warn(facts, `reconcile failed, will retry: ${messageOf(error)}`);
    return;
  }
  conclude(options, queue, key, result);
}

function conclude(
  options: ReconcilerOptions,
  queue: WorkQueue,
  key: string,
  result: ReconcileResult,
): void {
  const { name, logger } = options;
  switch (result.kind) {
    case 'done':
      queue.forget(key);
      return;
    case 'again':
      queue.forget(key);
      queue.addAfter(key, result.afterMs);
      return;
    case 'retry': {
      const delayMs = Math.round(queue.addRateLimited(key));
      logger.debug({ reconciler: name, key, delayMs, reason: result.reason }, 'will retry');
      return;
    }
    case 'terminal':
      queue.forget(key);
      logger.warn({ reconciler: name, key, reason: result.reason }, 'cannot be reconciled');
      return;
    default:
      unreachable(result);
  }
}
