/**
 * Watches. The present state and the subscription are taken in one turn, so the stream has no gap;
 * which type an event has depends on the selectors: an object that stops matching is DELETED for
 * this watcher.
 */

import type { Timer } from '../../lib/clock.ts';
import { deletedVersion } from '../../store/stored-version.ts';
import type { Revision, StoredObject, StoreEvent, StoreWatch } from '../../store/types.ts';
import { gone } from '../status.ts';
import type { RequestContext, Target, WatchEvent, WatchHandle, WatchOptions } from '../types.ts';
import type { VerbsContext } from './components.ts';
import { apiVersionOf } from './encode.ts';
import { freshEnough, parseRevision } from './freshness.ts';
import { prefixFor } from './keys.ts';
import { checkWatchOptions } from './list-options.ts';
import { parseSelection, type Selection, selects } from './selection.ts';
import { WatchStream } from './watch-stream.ts';

/**
 * A watch without timeoutSeconds ends after a time drawn between these: reconnections spread out.
 */
const TIMEOUT_MIN_MS = 1_800_000;
const TIMEOUT_MAX_MS = 3_600_000;
/** How often a bookmark is sent to those who want them. */
const BOOKMARK_INTERVAL_MS = 60_000;
const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

/**
 * Starts a watch. What cannot be watched any more (410) is the first event of the stream, as
 * upstream has it.
 */
export async function watchObjects(
  verbs: VerbsContext,
  context: RequestContext,
  target: Target,
  options: WatchOptions,
): Promise<WatchHandle> {
  checkWatchOptions(options);
  const selection = parseSelection(target, options);
  await freshEnough(verbs, context, options.resourceVersion);
  return new Watch(verbs, target, options, selection).start(context.signal);
}

class Watch {
  readonly #verbs: VerbsContext;
  readonly #target: Target;
  readonly #options: WatchOptions;
  readonly #selection: Selection;
  readonly #stream: WatchStream;
  readonly #timers: Timer[] = [];
  #storeWatch: StoreWatch | undefined;
  #onAbort: (() => void) | undefined;

  constructor(verbs: VerbsContext, target: Target, options: WatchOptions, selection: Selection) {
    this.#verbs = verbs;
    this.#target = target;
    this.#options = options;
    this.#selection = selection;
    this.#stream = new WatchStream(() => this.#release());
  }

  start(signal: AbortSignal | undefined): WatchHandle {
    const stream = this.#stream;
    const from = this.#initial();
    const watching = this.#verbs.store.watch(prefixFor(this.#target), from, (events) =>
      stream.push(this.#translate(events)),
    );
    if (watching.kind === 'too-old') {
      const { status } = gone(`too old resource version: ${from} (${watching.oldest})`);
      stream.end({ type: 'ERROR', status });
      return stream;
    }
    this.#storeWatch = watching.watch;
    // An event from the window may have ended the stream before there was a watch to close.
    if (!stream.open) this.#release();
    else this.#startTimers(signal);
    return stream;
  }

  /** Sends the present state if it is wanted; returns the revision to watch from. */
  #initial(): Revision {
    const { store } = this.#verbs;
    const { resourceVersion, sendInitialEvents, allowWatchBookmarks = false } = this.#options;
    const asked = parseRevision(resourceVersion) ?? 0;
    const wanted = sendInitialEvents ?? asked === 0;
    if (!wanted) return asked === 0 ? store.revision() : asked;
    const listed = store.list(prefixFor(this.#target));
    if (listed.kind === 'too-old') return listed.oldest;
    const events: WatchEvent[] = [];
    for (const item of listed.items) {
      if (selects(this.#selection, item)) events.push({ type: 'ADDED', item });
    }
    if (sendInitialEvents === true && allowWatchBookmarks) {
      events.push(this.#bookmark(listed.revision, true));
    }
    this.#stream.pushInitial(events);
    return listed.revision;
  }

  #startTimers(signal: AbortSignal | undefined): void {
    const { clock, random } = this.#verbs;
    const { timeoutSeconds } = this.#options;
    const timeoutMs =
      timeoutSeconds === undefined || timeoutSeconds <= 0
        ? random.int(TIMEOUT_MIN_MS, TIMEOUT_MAX_MS)
        : timeoutSeconds * 1_000;
    this.#timers[0] = clock.after(timeoutMs, () => {
      this.#sendBookmark();
      this.#stream.end();
    });
    if (this.#options.allowWatchBookmarks === true) this.#startBookmarks();
    if (signal === undefined) return;
    const onAbort = () => this.#stream.close();
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    this.#onAbort = () => signal.removeEventListener('abort', onAbort);
  }

  #startBookmarks(): void {
    this.#timers[1] = this.#verbs.clock.after(BOOKMARK_INTERVAL_MS, () => {
      this.#sendBookmark();
      if (this.#stream.open) this.#startBookmarks();
    });
  }

  /**
   * Every event up to the replica's revision has been pushed by now: apply and push share a turn.
   */
  #sendBookmark(): void {
    if (this.#options.allowWatchBookmarks !== true) return;
    this.#stream.push([this.#bookmark(this.#verbs.store.revision(), false)]);
  }

  #bookmark(revision: Revision, initialEventsEnd: boolean): WatchEvent {
    const { kind, served } = this.#target;
    const metadata = {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(initialEventsEnd ? { annotations: { [INITIAL_EVENTS_END]: 'true' } } : {}),
    };
    const object = { kind: kind.kind, apiVersion: apiVersionOf(served ?? kind), metadata };
    return { type: 'BOOKMARK', revision, bytes: Buffer.from(JSON.stringify(object), 'utf8') };
  }

  #translate(events: readonly StoreEvent[]): WatchEvent[] {
    const result: WatchEvent[] = [];
    for (const event of events) {
      const translated = this.#selection.all ? plain(event) : selected(this.#selection, event);
      if (translated !== undefined) result.push(translated);
    }
    return result;
  }

  #release(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#storeWatch?.close();
    this.#onAbort?.();
  }
}

function plain(event: StoreEvent): WatchEvent {
  if (event.type === 'delete') return { type: 'DELETED', item: event.object };
  return { type: event.previous === undefined ? 'ADDED' : 'MODIFIED', item: event.object };
}

function selected(selection: Selection, event: StoreEvent): WatchEvent | undefined {
  const { previous } = event;
  const before = previous !== undefined && selects(selection, previous);
  if (event.type === 'delete') return before ? { type: 'DELETED', item: event.object } : undefined;
  const now = selects(selection, event.object);
  if (now) return { type: before ? 'MODIFIED' : 'ADDED', item: event.object };
  return before ? { type: 'DELETED', item: leaving(previous, event.object) } : undefined;
}

/** The last state that matched, at the revision at which the object stopped matching. */
function leaving(previous: StoredObject, now: StoredObject): StoredObject {
  return deletedVersion(previous, now.revision);
}
