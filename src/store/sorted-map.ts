/**
 * A map from strings to values in key order, made of blocks of at most a few hundred entries: an insertion
 * moves one block's tail, a prefix is found by two binary searches, and an immutable view of the
 * whole costs one array of block references (blocks are copied on the first write after a view).
 */

import { prefixEnd } from './keys.ts';

/** Most entries of one block; a full block splits in two. */
const BLOCK_ENTRIES_MAX = 512;

type Block<V> = { readonly keys: string[]; readonly values: V[]; readonly epoch: number };

/** A place between entries: before entry `at` of block `block`. */
type Position = { readonly block: number; readonly at: number };

/** The reading half, also of a frozen view. */
export interface SortedReader<V> {
  readonly size: number;
  get(key: string): V | undefined;
  /** Values whose key starts with `prefix` and lies behind `after`, in key order. */
  values(prefix: string, after?: string): Generator<V>;
  /** Number of keys that start with `prefix` and lie behind `after`. */
  count(prefix: string, after?: string): number;
}

/** The mutable map. */
export class SortedMap<V> implements SortedReader<V> {
  #blocks: Block<V>[] = [];
  #size = 0;
  #epoch = 0;
  /** The last view, until the next write: many may ask for the same moment. */
  #view: SortedMap<V> | undefined;

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    const block = this.#blocks[this.#blockOf(key)];
    if (block === undefined) return undefined;
    const at = lowerBound(block.keys, key);
    return block.keys[at] === key ? block.values[at] : undefined;
  }

  /** Sets and returns the former value. */
  set(key: string, value: V): V | undefined {
    this.#view = undefined;
    const index = this.#blockOf(key);
    if (this.#blocks.length === 0) {
      this.#blocks.push({ keys: [key], values: [value], epoch: this.#epoch });
      this.#size = 1;
      return undefined;
    }
    const block = this.#writable(index);
    const at = lowerBound(block.keys, key);
    if (block.keys[at] === key) {
      const former = block.values[at];
      block.values[at] = value;
      return former;
    }
    block.keys.splice(at, 0, key);
    block.values.splice(at, 0, value);
    this.#size++;
    if (block.keys.length > BLOCK_ENTRIES_MAX) this.#split(index, at);
    return undefined;
  }

  /** Removes and returns the former value. */
  delete(key: string): V | undefined {
    const index = this.#blockOf(key);
    const found = this.#blocks[index];
    if (found === undefined) return undefined;
    const at = lowerBound(found.keys, key);
    if (found.keys[at] !== key) return undefined;
    this.#view = undefined;
    const block = this.#writable(index);
    block.keys.splice(at, 1);
    const [former] = block.values.splice(at, 1);
    if (block.keys.length === 0) this.#blocks.splice(index, 1);
    this.#size--;
    return former;
  }

  *values(prefix: string, after?: string): Generator<V> {
    const end = this.#end(prefix);
    for (let { block, at } = this.#start(prefix, after); ; block++, at = 0) {
      const values = this.#blocks[block]?.values;
      if (values === undefined || block > end.block) return;
      const stop = block === end.block ? end.at : values.length;
      for (; at < stop; at++) yield values[at] as V;
    }
  }

  count(prefix: string, after?: string): number {
    const start = this.#start(prefix, after);
    const end = this.#end(prefix);
    let total = end.at - start.at;
    for (let block = start.block; block < end.block; block++) {
      total += this.#blocks[block]?.keys.length ?? 0;
    }
    return Math.max(0, total);
  }

  /** The map as it is now, unaffected by later writes. */
  view(): SortedReader<V> {
    if (this.#view !== undefined) return this.#view;
    const view = new SortedMap<V>();
    view.#blocks = this.#blocks.slice();
    view.#size = this.#size;
    this.#epoch++;
    this.#view = view;
    return view;
  }

  /** Index of the only block that may hold `key`. */
  #blockOf(key: string): number {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#blocks[middle]?.keys[0] as string) <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #writable(index: number): Block<V> {
    const block = this.#blocks[index] as Block<V>;
    if (block.epoch === this.#epoch) return block;
    const copy = { keys: block.keys.slice(), values: block.values.slice(), epoch: this.#epoch };
    this.#blocks[index] = copy;
    return copy;
  }

  /** Keys that come in order fill the last block to the brim instead of leaving half-empty ones behind. */
  #split(index: number, insertedAt: number): void {
    const block = this.#blocks[index] as Block<V>;
    const atEnd = index === this.#blocks.length - 1 && insertedAt === block.keys.length - 1;
    const from = atEnd ? block.keys.length - 1 : block.keys.length >>> 1;
    const keys = block.keys.splice(from);
    const values = block.values.splice(from);
    this.#blocks.splice(index + 1, 0, { keys, values, epoch: this.#epoch });
  }

  #start(prefix: string, after: string | undefined): Position {
    if (after !== undefined && after >= prefix) return this.#position(after, true);
    return this.#position(prefix, false);
  }

  #end(prefix: string): Position {
    const end = prefixEnd(prefix);
    if (end !== undefined) return this.#position(end, false);
    const block = Math.max(0, this.#blocks.length - 1);
    return { block, at: this.#blocks[block]?.keys.length ?? 0 };
  }

  #position(key: string, behind: boolean): Position {
    const block = this.#blockOf(key);
    const keys = this.#blocks[block]?.keys ?? [];
    const at = lowerBound(keys, key);
    return { block, at: behind && keys[at] === key ? at + 1 : at };
  }
}

/** Index of the first of the sorted `keys` that is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
