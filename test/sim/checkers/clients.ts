/**
 * What clients are told, at once: a write that was acknowledged is committed at its revision, and a read sees everything that
 * was answered before it began. Revisions are points in the one order of all writes, so this is a comparison of numbers; the
 * history as clients see it is judged independently of them, in ../linearizability.
 */

import type { Fail } from './failing.ts';
import { differing, type History, type Readable } from './history.ts';

export class ClientCheckers {
  readonly #fail: Fail;
  readonly #history: History;
  #floor = 0;
  #writes = 0;
  #reads = 0;

  constructor(fail: Fail, history: History) {
    this.#fail = fail;
    this.#history = history;
  }

  /** The newest revision anybody was told of: what begins now has to see it. */
  get floor(): number {
    return this.#floor;
  }

  get writes(): number {
    return this.#writes;
  }

  get reads(): number {
    return this.#reads;
  }

  /** A client hears that its write to `key` took effect; it began when the floor was `floor`. `text`: undefined for a deletion. */
  wrote(
    client: string,
    write: {
      readonly key: string;
      readonly text: string | undefined;
      readonly revision: number;
      readonly floor: number;
    },
  ): void {
    const { key, text, revision, floor } = write;
    const event = this.#history.eventsAt(revision).find((found) => found.key === key);
    const facts = { client, key, revision, floor, found: event?.text };
    const right = text === undefined ? event?.type === 'delete' : event?.text.includes(text);
    if (right !== true) {
      this.#fail('writes survive', 'what is acknowledged is committed', { ...facts, text });
    }
    if (revision <= floor) {
      this.#fail('writes survive', 'a write takes effect after it began', facts);
    }
    this.saw(revision);
    this.#writes++;
  }

  /** A client reads `keys` behind a barrier. */
  read(client: string, state: Readable, keys: readonly string[], floor: number): void {
    const revision = state.revision();
    if (revision < floor) {
      const facts = { client, revision, floor };
      this.#fail('reads', 'a read sees everything that was answered before it began', facts);
    }
    for (const key of keys) {
      const difference = differing(state.get(key), this.#history.valueAt(key, revision));
      if (difference === undefined) continue;
      const facts = { client, key, revision, difference };
      this.#fail('reads', 'a read returns the value at its revision', facts);
    }
    this.#reads++;
  }

  /** Somebody was told of `revision`. */
  saw(revision: number): void {
    this.#floor = Math.max(this.#floor, revision);
  }
}
