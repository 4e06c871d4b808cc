/**
 * The Events of the cluster in the order in which they expire. Pure: times come in. Expiry times are kept in slots, so that a
 * change costs the same whether ten Events are known or fifty thousand, and nothing is ever sorted.
 */

/** What the book keeps of an Event. */
export type BookEntry = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
};

export type EventBookOptions = {
  /** Width of a slot: an Event may live this much longer than it should. */
  readonly slotMs: number;
  readonly perNamespaceMax: number;
  readonly clusterMax: number;
};

/** Share of a limit that is cleared when it is reached, so that not every Event from then on costs a deletion of its own. */
const CLEARED_SHARE = 0.1;

type Kept = { readonly entry: BookEntry; readonly slot: number };

export class EventBook {
  readonly #options: EventBookOptions;
  readonly #byKey = new Map<string, Kept>();
  readonly #slots = new Map<number, Map<string, BookEntry>>();
  readonly #perNamespace = new Map<string, number>();
  /** Namespaces beyond their limit. */
  readonly #crowded = new Set<string>();

  constructor(options: EventBookOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** True if a limit on numbers is exceeded. */
  get overfull(): boolean {
    return this.#crowded.size > 0 || this.size > this.#options.clusterMax;
  }

  /** Notes an Event that expires at `dueMs`, in place of what was known of it. Answers when it is to be taken. */
  put(entry: BookEntry, dueMs: number): number {
    const key = keyOf(entry);
    this.#take(key);
    const slot = Math.floor(dueMs / this.#options.slotMs);
    this.#byKey.set(key, { entry, slot });
    const entries = this.#slots.get(slot);
    if (entries === undefined) this.#slots.set(slot, new Map([[key, entry]]));
    else entries.set(key, entry);
    this.#count(entry.namespace, 1);
    return this.#endOf(slot);
  }

  /** As put, unless something newer is known of the Event by now. */
  putBack(entry: BookEntry, dueMs: number): void {
    if (!this.#byKey.has(keyOf(entry))) this.put(entry, dueMs);
  }

  remove(entry: Pick<BookEntry, 'namespace' | 'name'>): void {
    this.#take(keyOf(entry));
  }

  /** When the next Event is to be taken, in milliseconds since the epoch; infinity when there is none. */
  nextDueMs(): number {
    const [first] = this.#order();
    return first === undefined ? Number.POSITIVE_INFINITY : this.#endOf(first);
  }

  /** Takes out at most `limit` Events that have expired, or are beyond a limit on numbers; oldest first. */
  take(nowMs: number, limit: number): readonly BookEntry[] {
    const taken = [...this.#expired(nowMs, limit)];
    for (const namespace of [...this.#crowded]) {
      const max = this.#options.perNamespaceMax;
      const surplus = (this.#perNamespace.get(namespace) ?? 0) - remaining(max);
      taken.push(...this.#oldest(Math.min(surplus, limit - taken.length), namespace));
    }
    if (this.size > this.#options.clusterMax) {
      const surplus = this.size - remaining(this.#options.clusterMax);
      taken.push(...this.#oldest(Math.min(surplus, limit - taken.length)));
    }
    return taken;
  }

  *#expired(nowMs: number, limit: number): Generator<BookEntry> {
    let left = limit;
    for (const slot of this.#order()) {
      if (this.#endOf(slot) > nowMs) return;
      for (const [key, entry] of this.#slots.get(slot) ?? []) {
        if (left-- <= 0) return;
        this.#take(key);
        yield entry;
      }
    }
  }

  #oldest(count: number, namespace?: string): readonly BookEntry[] {
    const found: BookEntry[] = [];
    for (const slot of this.#order()) {
      for (const [key, entry] of this.#slots.get(slot) ?? []) {
        if (found.length >= count) return found;
        if (namespace !== undefined && entry.namespace !== namespace) continue;
        this.#take(key);
        found.push(entry);
      }
    }
    return found;
  }

  #endOf(slot: number): number {
    return (slot + 1) * this.#options.slotMs;
  }

  #order(): readonly number[] {
    return [...this.#slots.keys()].sort((a, b) => a - b);
  }

  #take(key: string): void {
    const kept = this.#byKey.get(key);
    if (kept === undefined) return;
    this.#byKey.delete(key);
    const entries = this.#slots.get(kept.slot);
    entries?.delete(key);
    if (entries?.size === 0) this.#slots.delete(kept.slot);
    this.#count(kept.entry.namespace, -1);
  }

  #count(namespace: string, change: 1 | -1): void {
    const count = (this.#perNamespace.get(namespace) ?? 0) + change;
    if (count === 0) this.#perNamespace.delete(namespace);
    else this.#perNamespace.set(namespace, count);
    const { perNamespaceMax } = this.#options;
    if (count > perNamespaceMax) this.#crowded.add(namespace);
    else if (count <= remaining(perNamespaceMax)) this.#crowded.delete(namespace);
  }
}

function remaining(max: number): number {
  return Math.floor(max * (1 - CLEARED_SHARE));
}

function keyOf({ namespace, name }: Pick<BookEntry, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}
