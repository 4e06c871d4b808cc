/**
 * The window of append messages sent to one peer and not yet acknowledged: a ring of (last index,
 * bytes), bounded by count and by bytes, that grows only as far as it is used.
 */

import { broken } from './invariant.ts';
import type { LogIndex } from './types.ts';

const initialSlots = 8;

/** See the module comment. `messagesMax` and `bytesMax` are the bounds of the window. */
export class Inflights {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  #indexes: number[] = new Array(initialSlots).fill(0);
  #sizes: number[] = new Array(initialSlots).fill(0);
  #head = 0;
  #count = 0;
  #bytes = 0;

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A message above the byte bound may leave when nothing else is in flight, else none would. */
  get full(): boolean {
    return this.#count >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  /** A message whose last entry is `index` was sent. */
  add(index: LogIndex, bytes: number): void {
    if (this.full) broken('the window takes a message only when it has room', { index });
    if (this.#count === this.#indexes.length) this.#grow();
    const slot = (this.#head + this.#count) % this.#indexes.length;
    this.#indexes[slot] = index;
    this.#sizes[slot] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Everything up to `index` was acknowledged; one acknowledgement may stand for several messages. */
  freeUpTo(index: LogIndex): void {
    while (this.#count > 0 && (this.#indexes[this.#head] ?? 0) <= index) {
      this.#bytes -= this.#sizes[this.#head] ?? 0;
      this.#head = (this.#head + 1) % this.#indexes.length;
      this.#count--;
    }
  }

  reset(): void {
    this.#head = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const { length } = this.#indexes;
    const unroll = (ring: number[]): number[] => [
      ...ring.slice(this.#head),
      ...ring.slice(0, this.#head),
      ...new Array(length).fill(0),
    ];
    this.#indexes = unroll(this.#indexes);
    this.#sizes = unroll(this.#sizes);
    this.#head = 0;
  }
}
