/**
 * Watches. The present state and the subscription are taken in one turn, so the stream has no gap;
 * which type an event has depends on the selectors: an object that stops matching is DELETED for
 * this watcher.
 */

import type { Timer } from '../../lib/clock.ts';
import { deletedVersion } from '../../store/stored-version.ts';
import type { Revision, StoredObject, StoreEvent, StoreView } from '../../store/types.ts';
import type { RequestContext, Target, WatchEvent, WatchHandle, WatchOptions } from '../types.ts';
import type { VerbsContext } from './components.ts';
import { apiVersionOf } from './encode.ts';
import { freshEnough, parseRevision } from './freshness.ts';
import { keyFor, prefixFor } from './keys.ts';
import { checkWatchOptions } from './list-options.ts';
import { parseSelection, type Selection, selects } from './selection.ts';
import { WatchFeed } from './watch-feed.ts';

/**
 * A watch without timeoutSeconds ends after a time drawn between these: reconnections spread out.
 */
const TIMEOUT_MIN_MS = 1_800_000;
const TIMEOUT_MAX_MS = 3_600_000;
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
  return startWatch(verbs, { target, options, selection }, context.signal);
}

type Asked = {
  readonly target: Target;
  readonly options: WatchOptions;
  readonly selection: Selection;
};

function startWatch(
  verbs: VerbsContext,
  { target, options, selection }: Asked,
  signal: AbortSignal | undefined,
): WatchHandle {
  const ends: (() => void)[] = [];
  const bookmarks = options.allowWatchBookmarks === true;
  const prefix = watchedPrefix(target, selection);
  const feed = new WatchFeed(
    { store: verbs.store, wakeQueue: verbs.wakeQueue },
    {
      prefix,
      ...startOf(verbs, prefix, options),
      wants: (item) => selects(selection, item),
      translate: selection.all ? plain : (event) => selected(selection, event),
      ...(bookmarks && { bookmark: (revision, end) => bookmarkOf(target, revision, end) }),
      markInitialEnd: options.sendInitialEvents === true,
      onEnd: () => {
        for (const end of ends) end();
      },
    },
  );
  const timer = startTimeout(verbs, options, () => feed.finish());
  ends.push(() => timer.cancel());
  if (bookmarks) ends.push(verbs.bookmarks.add(feed));
  if (signal !== undefined) {
    const onAbort = () => feed.close();
    signal.addEventListener('abort', onAbort, { once: true });
    ends.push(() => signal.removeEventListener('abort', onAbort));
    if (signal.aborted) onAbort();
  }
  return feed;
}

/** One object's watch is filed under its key: changes of its neighbours cost it nothing. */
function watchedPrefix(target: Target, { name }: Selection): string {
  const inNamespace = (target.namespace ?? '') !== '';
  if (name === undefined || (target.kind.namespaced && !inNamespace)) return prefixFor(target);
  return keyFor(target, name);
}

/** The present state if it is wanted, and the revision to watch from. */
function startOf(
  { store }: VerbsContext,
  prefix: string,
  { resourceVersion, sendInitialEvents }: WatchOptions,
): { readonly initial?: StoreView; readonly from: Revision } {
  const asked = parseRevision(resourceVersion) ?? 0;
  if (sendInitialEvents ?? asked === 0) {
    const initial = store.view(prefix);
    return { initial, from: initial.revision };
  }
  return { from: asked === 0 ? store.revision() : asked };
}

function startTimeout(
  { clock, random }: VerbsContext,
  { timeoutSeconds }: WatchOptions,
  finish: () => void,
): Timer {
  const drawn = timeoutSeconds === undefined || timeoutSeconds <= 0;
  const timeoutMs = drawn ? random.int(TIMEOUT_MIN_MS, TIMEOUT_MAX_MS) : timeoutSeconds * 1_000;
  return clock.after(timeoutMs, finish);
}

function bookmarkOf(
  { kind, served }: Target,
  revision: Revision,
  initialEventsEnd: boolean,
): WatchEvent {
  const metadata = {
    resourceVersion: String(revision),
    creationTimestamp: null,
    ...(initialEventsEnd ? { annotations: { [INITIAL_EVENTS_END]: 'true' } } : {}),
  };
  const object = { kind: kind.kind, apiVersion: apiVersionOf(served ?? kind), metadata };
  return { type: 'BOOKMARK', revision, bytes: Buffer.from(JSON.stringify(object), 'utf8') };
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
