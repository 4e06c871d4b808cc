/**
 * The order of a merged list: as the patch asks, with the items it does not know kept in their
 * places.
 */

import { sameJson } from '../../resources/equality.ts';
import { isRecord } from '../verbs/json.ts';

/**
 * Sorts `items` by `order` (whole scalars, or objects of which only `mergeKey` counts). Items that
 * `order` does not name are the server's own: among themselves they keep their order, and against
 * named items their relative place.
 */
export function orderElements(
  items: readonly unknown[],
  order: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const idOf = (item: unknown): unknown =>
    mergeKey !== undefined && isRecord(item) ? item[mergeKey] : item;
  const wanted = order.map(idOf);
  const rank = (item: unknown): number => wanted.findIndex((id) => sameJson(id, idOf(item)));
  const ranked = items.map((item, place) => ({ item, place, rank: rank(item) }));
  const named = ranked.filter((one) => one.rank >= 0).sort((a, b) => a.rank - b.rank);
  const others = ranked.filter((one) => one.rank < 0);
  const result: unknown[] = [];
  let next = 0;
  for (const other of others) {
    // The named items that stood before this one, as far as the asked order allows, come before it.
    for (let one = named[next]; one !== undefined && one.place < other.place; one = named[next]) {
      result.push(one.item);
      next++;
    }
    result.push(other.item);
  }
  for (const { item } of named.slice(next)) result.push(item);
  return result;
}
