/** An index of an informer: for every value the keys of the objects that have it. */

import type { Key, StoredObject, StoreEvent } from '../store/types.ts';

const NONE: ReadonlySet<Key> = new Set();

/** Follows the objects it is shown; what they are is read from the store when somebody asks. */
export class InformerIndex<T> {
  readonly extract: (object: T) => readonly string[];
  readonly #byValue = new Map<string, Set<Key>>();

  constructor(extract: (object: T) => readonly string[]) {
    this.extract = extract;
  }

  /** Keys of the objects that have `value`. */
  keys(value: string): ReadonlySet<Key> {
    return this.#byValue.get(value) ?? NONE;
  }

  insert(key: Key, object: T): void {
    for (const value of this.extract(object)) {
      let keys = this.#byValue.get(value);
      if (keys === undefined) {
        keys = new Set();
        this.#byValue.set(value, keys);
      }
      keys.add(key);
    }
  }

  change(event: StoreEvent): void {
    const { previous } = event;
    if (previous !== undefined) this.#remove(previous);
    if (event.type === 'put') this.insert(event.object.key, event.object.object as T);
  }

  #remove(item: StoredObject): void {
    for (const value of this.extract(item.object as T)) {
      const keys = this.#byValue.get(value);
      keys?.delete(item.key);
      if (keys?.size === 0) this.#byValue.delete(value);
    }
  }
}
