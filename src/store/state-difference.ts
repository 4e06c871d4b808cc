/** What changed between two states of the store, as the events a watcher would have needed to see. */

import { invariant } from '../lib/invariant.ts';
import type { SortedReader } from './sorted-map.ts';
import { deletedVersion } from './stored-version.ts';
import type { Revision, StoredObject, StoreEvent } from './types.ts';

/**
 * Events that lead from `before` to `after`, in revision order, all of them behind `span.from`. Intermediate versions are
 * skipped. The true revision of a deletion is not known: a key that is gone gets `span.to`, a key that
 * came anew gets the one before its creation; both are late enough to resume a watch from.
 */
export function stateDifference(
  before: SortedReader<StoredObject>,
  after: SortedReader<StoredObject>,
  span: { readonly from: Revision; readonly to: Revision },
): StoreEvent[] {
  const events: StoreEvent[] = [];
  for (const previous of before.values('')) {
    const object = after.get(previous.key);
    if (object === undefined) events.push(deletion(previous, span.to));
    else if (object.createRevision !== previous.createRevision) {
      const deleted = Math.max(span.from + 1, object.createRevision - 1) as Revision;
      events.push(deletion(previous, deleted));
    }
  }
  for (const object of after.values('')) {
    const previous = before.get(object.key);
    if (previous?.revision === object.revision) continue;
    invariant((previous?.revision ?? 0) < object.revision, 'a later state has later versions', {
      key: object.key,
    });
    const same = previous?.createRevision === object.createRevision;
    events.push({ type: 'put', object, previous: same ? previous : undefined });
  }
  return events.sort((left, right) => left.object.revision - right.object.revision);
}

function deletion(previous: StoredObject, revision: Revision): StoreEvent {
  return { type: 'delete', object: deletedVersion(previous, revision), previous };
}
