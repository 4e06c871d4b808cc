/** Watch streams: in order, without gaps, and true; what they add up to is the state. */

import type { StoreEvent } from '../../../src/store/types.ts';
import type { Fail } from './failing.ts';
import { differing, type History } from './history.ts';

/** One stream, as its watcher follows it. */
export type Followed = {
  readonly name: string;
  readonly prefix: string;
  /** Everything up to here was seen. */
  revision: number;
  /** What the events added up to so far. */
  readonly objects: Map<string, StoreEvent['object']>;
};

export class WatchCheckers {
  readonly #fail: Fail;
  readonly #history: History;
  #events = 0;

  constructor(fail: Fail, history: History) {
    this.#fail = fail;
    this.#history = history;
  }

  get events(): number {
    return this.#events;
  }

  /**
   * A batch that brings the stream to `revision`. `jumped`: the replica took over a snapshot, so that versions in between
   * may be missing.
   */
  delivered(
    stream: Followed,
    batch: readonly StoreEvent[],
    { revision, jumped }: { readonly revision: number; readonly jumped: boolean },
  ): void {
    const facts = { stream: stream.name, from: stream.revision, revision };
    if (revision < stream.revision) {
      this.#fail('watches', 'a stream never goes back', facts);
    }
    let last = stream.revision;
    for (const { type, object } of batch) {
      this.#events++;
      const known = jumped ? object.revision < stream.revision : object.revision <= stream.revision;
      if (object.revision < last || known) {
        this.#fail('watches', 'events come in order', { ...facts, event: object.revision });
      }
      last = object.revision;
      if (type === 'put') stream.objects.set(object.key, object);
      else stream.objects.delete(object.key);
    }
    if (!jumped) this.#checkWhole(stream, batch, revision);
    for (const { object } of batch) {
      const found = stream.objects.get(object.key);
      const difference = differing(found, this.#history.valueAt(object.key, revision));
      if (difference === undefined) continue;
      const more = { ...facts, key: object.key, difference };
      this.#fail('watches', 'events add up to the state', more);
    }
    stream.revision = revision;
    if (jumped) this.settled(stream);
  }

  /** Every change under the prefix is there, as it was. */
  #checkWhole(stream: Followed, batch: readonly StoreEvent[], revision: number): void {
    let at = 0;
    for (let expected = stream.revision + 1; expected <= revision; expected++) {
      for (const event of this.#history.eventsAt(expected)) {
        if (!event.key.startsWith(stream.prefix)) continue;
        const found = batch[at++];
        const same =
          found !== undefined &&
          found.type === event.type &&
          found.object.key === event.key &&
          found.object.revision === event.revision &&
          found.object.bytes.toString('latin1') === event.text;
        if (same) continue;
        const facts = { stream: stream.name, expected, key: event.key, type: event.type };
        const more = { ...facts, found: found?.object.revision, foundKey: found?.object.key };
        this.#fail('watches', 'a stream has no gaps', more);
        return;
      }
    }
    if (at === batch.length) return;
    const facts = { stream: stream.name, event: batch[at]?.object.revision, revision };
    this.#fail('watches', 'nothing is told that did not happen', facts);
  }

  /** The stream and the state agree on the whole. */
  settled(stream: Followed): void {
    for (const key of this.#history.keys()) {
      if (!key.startsWith(stream.prefix)) continue;
      const expected = this.#history.valueAt(key, stream.revision);
      const difference = differing(stream.objects.get(key), expected);
      if (difference === undefined) continue;
      const facts = { stream: stream.name, key, revision: stream.revision, difference };
      this.#fail('watches', 'events add up to the state', facts);
    }
  }
}
