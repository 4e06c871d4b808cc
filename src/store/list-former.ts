/** A list of the past: the present objects, with what changed since replaced by what was there before. */

import type { SortedReader } from './sorted-map.ts';
import type { Key, ListOptions, StoredObject } from './types.ts';

/**
 * One page. `former` holds, for every key under `prefix` that changed since, what it was (undefined: it did not exist). Costs as much as the
 * page and the changes, however many objects there are.
 */
export function listFormer(
  present: SortedReader<StoredObject>,
  former: ReadonlyMap<Key, StoredObject | undefined>,
  prefix: string,
  options: ListOptions,
): { readonly items: StoredObject[]; readonly remaining: number } {
  const { after = '', limit = Number.POSITIVE_INFINITY } = options;
  const restored = [...former.values()]
    .filter((object) => object !== undefined && object.key > after)
    .sort((left, right) => ((left?.key ?? '') < (right?.key ?? '') ? -1 : 1));
  const items: StoredObject[] = [];
  let next = 0;
  /** Takes what was there up to `end`; false when the page is full. */
  const restoreUpTo = (end: Key | undefined): boolean => {
    for (let object = restored[next]; object !== undefined; object = restored[++next]) {
      if (end !== undefined && object.key > end) return true;
      if (items.length >= limit) return false;
      items.push(object);
    }
    return true;
  };
  for (const object of present.values(prefix, after)) {
    if (!restoreUpTo(object.key) || items.length >= limit) break;
    if (!former.has(object.key)) items.push(object);
  }
  restoreUpTo(undefined);
  return { items, remaining: remainingBehind(items.at(-1)?.key ?? after) };

  function remainingBehind(last: Key): number {
    let total = present.count(prefix, last);
    for (const [key, object] of former) {
      if (key <= last) continue;
      if (present.get(key) !== undefined) total--;
      if (object !== undefined) total++;
    }
    return total;
  }
}
