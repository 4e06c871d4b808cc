/** What changed between two states of the store, as the events a watcher would have needed to see. */

import { invariant } from '../lib/invariant.ts';
import type { SortedReader } from './sorted-map.ts';
import { deletedVersion } from './stored-version.ts';
import type { Revision, StoredObject, StoreEvent } from './types.ts';

/**
 * Events that lead from `before` to `after`, in revision order, all of them behind `span.from`. Intermediate versions are
 * skipped. The true revision of a deletion is not known, so deletions come first, as early as can be: whoever breaks off on the
 * way and resumes from its last event elsewhere is told of a deletion twice rather than never.
 */
export function stateDifference(
  before: SortedReader<StoredObject>,
  after: SortedReader<StoredObject>,
  span: { readonly from: Revision; readonly to: Revision },
): StoreEvent[] {
  const events: StoreEvent[] = [];
  for (const previous of before.values('')) {
    const same = after.get(previous.key)?.createRevision === previous.createRevision;
    if (!same) events.push(deletion(previous, (span.from + 1) as Revision));
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
