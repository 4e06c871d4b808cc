/** One data key: what values in the log and in snapshots are sealed under while it is in force. */

import { Sealer } from './sealer.ts';

/** Seals values for a place in a command or in a snapshot. */
export class DataKey {
  /** Random; names the key in the log. */
  readonly id: string;
  readonly #sealer: Sealer;

  constructor(id: string, bytes: Uint8Array) {
    this.id = id;
    this.#sealer = new Sealer(bytes, 'data key');
  }

  seal(place: string, value: Uint8Array): Buffer {
    return this.#sealer.seal(place, value);
  }

  /** Undefined when the value was changed, or belongs elsewhere. */
  open(place: string, sealed: Uint8Array): Buffer | undefined {
    return this.#sealer.open(place, sealed);
  }
}
