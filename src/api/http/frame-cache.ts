/**
 * Encoded watch events. An event is encoded once per representation, however many watch it; the newest stay, within a
 * budget, for as long as it takes to hand them to everybody.
 */

import type { StoredObject } from '../../store/types.ts';

/** Memory for encoded events, all together. */
const CACHE_BYTES_MAX = 16 * 1024 * 1024;

type Frames = { readonly byId: Map<string, Buffer>; bytes: number };

/** Frames by object, then by event type and representation. */
export class FrameCache {
  readonly #bytesMax: number;
  readonly #frames = new Map<StoredObject, Frames>();
  #bytes = 0;

  /** @param bytesMax default 16 MiB. */
  constructor(bytesMax = CACHE_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Memory taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The frame of `item` in the form that `id` names; made by `encode` if it is not at hand. */
  frame(item: StoredObject, id: string, encode: () => Buffer): Buffer {
    const known = this.#frames.get(item)?.byId.get(id);
    if (known !== undefined) return known;
    const frame = encode();
    let frames = this.#frames.get(item);
    if (frames === undefined) {
      frames = { byId: new Map(), bytes: 0 };
      this.#frames.set(item, frames);
    }
    frames.byId.set(id, frame);
    frames.bytes += frame.length;
    this.#bytes += frame.length;
    this.#shrink();
    return frame;
  }

  #shrink(): void {
    for (const [item, { bytes }] of this.#frames) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#frames.delete(item);
      this.#bytes -= bytes;
    }
  }
}
