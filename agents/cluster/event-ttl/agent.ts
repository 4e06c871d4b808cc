/**
 * Removes Events that have had their time, and the oldest where there are too many. What is applied to the store must not
 * depend on a clock; so it is this agent that looks at the clock, and deletes like everybody else.
 */

import { isConflict } from '../../../src/client/errors.ts';
import type { InformerEvent } from '../../../src/client/types.ts';
import { sleep } from '../../../src/lib/async.ts';
import { messageOf } from '../../../src/lib/errors.ts';
import { type ClusterAgentDeps, type ControllerContext, controller } from '../controller.ts';
import type { Event } from '../kinds.ts';
import { deleteIfPresent } from '../remove.ts';
import { lastToldMs } from './decide.ts';
import { type BookEntry, EventBook } from './event-book.ts';

export type EventTtlOptions = {
  /** How long an Event is kept after it was last told. Default 1 h. */
  readonly ttlMs?: number;
  /** Events kept in one namespace, the newest. Default 5 000. */
  readonly perNamespaceMax?: number;
  /** Events kept in the cluster, the newest. Default 50 000. */
  readonly clusterMax?: number;
};

const NAME = 'event-ttl';
const TTL_MS = 60 * 60_000;
const PER_NAMESPACE_MAX = 5_000;
const CLUSTER_MAX = 50_000;
/** Slots in the time of an Event: how exact its end is. */
const SLOTS = 360;
/** Events deleted before the next look at what is due, and deletions in flight. */
const BATCH_MAX = 200;
const DELETIONS_MAX = 8;
/** After a deletion that failed. */
const RETRY_MS = 5_000;
/** Longest sleep: wall clocks are put right now and then, and timers do not notice. */
const SLEEP_MS_MAX = 10 * 60_000;

/** The end of Events as a cluster singleton. */
export function createEventTtl(deps: ClusterAgentDeps, options: EventTtlOptions = {}) {
  return controller(deps, { name: NAME, component: 'event-ttl-controller' }, (context) =>
    run(context, options),
  );
}

async function run(context: ControllerContext, options: EventTtlOptions): Promise<void> {
  const { client, clock, signal } = context;
  const { ttlMs = TTL_MS, perNamespaceMax = PER_NAMESPACE_MAX, clusterMax = CLUSTER_MAX } = options;
  const slotMs = Math.max(1, Math.floor(ttlMs / SLOTS));
  const book = new EventBook({ slotMs, perNamespaceMax, clusterMax });
  const alarm = new Alarm(context);
  const note = ({ type, object }: InformerEvent<Event>) => {
    const entry = entryOf(object);
    if (type === 'deleted') return book.remove(entry);
    alarm.ringAt(book.put(entry, lastToldMs(object, clock.nowMs()) + ttlMs));
    if (book.overfull) alarm.ring();
  };
  const informer = client.informer('Event');
  await informer.whenSynced(signal);
  const unsubscribe = informer.subscribe(note);
  try {
    while (!signal.aborted) {
      const batch = book.take(clock.nowMs(), BATCH_MAX);
      if (batch.length > 0) await removeAll(context, book, batch);
      else await alarm.wait(book.nextDueMs());
    }
  } finally {
    unsubscribe();
  }
}

async function removeAll(
  context: ControllerContext,
  book: EventBook,
  batch: readonly BookEntry[],
): Promise<void> {
  const { clock, logger, signal } = context;
  const waiting = [...batch];
  let failure: unknown;
  const worker = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      try {
        if (!signal.aborted) await remove(context, one);
      } catch (error) {
        // Told again while we looked: its new time has reached the book, or is about to.
        if (!isConflict(error)) failure = error;
        book.putBack(one, clock.nowMs() + RETRY_MS);
      }
    }
  };
  await Promise.all(Array.from({ length: DELETIONS_MAX }, worker));
  if (failure === undefined) logger.debug({ events: batch.length }, 'removed expired events');
  else logger.debug({ failure }, `some events could not be removed: ${messageOf(failure)}`);
}

async function remove({ client }: ControllerContext, entry: BookEntry): Promise<void> {
  const { namespace, name, uid, resourceVersion } = entry;
  const object = { metadata: { namespace, name, uid } } as Event;
  const preconditions = resourceVersion === undefined ? {} : { resourceVersion };
  await deleteIfPresent(client, 'Event', object, { preconditions });
}

function entryOf({ metadata }: Event): BookEntry {
  const { namespace = '', name, uid, resourceVersion } = metadata;
  return { namespace, name, uid, resourceVersion };
}

/** Waits until a moment that may come nearer while the wait lasts. */
class Alarm {
  readonly #context: ControllerContext;
  #bell = new AbortController();
  #atMs = Number.POSITIVE_INFINITY;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  /** Ends the wait, or the next one. */
  ring(): void {
    this.#bell.abort();
  }

  /** Ends the wait if it would last beyond `atMs`. */
  ringAt(atMs: number): void {
    if (atMs < this.#atMs) this.ring();
  }

  /** Resolves at `atMs`, when rung, when the run ends, or after the longest sleep. */
  async wait(atMs: number): Promise<void> {
    const { clock, signal } = this.#context;
    this.#atMs = atMs;
    const delayMs = Math.min(Math.max(0, atMs - clock.nowMs()), SLEEP_MS_MAX);
    const woken = AbortSignal.any([signal, this.#bell.signal]);
    await sleep(delayMs, clock, woken).catch(() => {});
    this.#bell = new AbortController();
  }
}
