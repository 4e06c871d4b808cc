/**
 * What clients are told: every index of the log is a point in the one order of all operations, so
 * linearizability is a comparison of indexes. A floor rises with everything that was answered; what
 * begins afterwards may not be placed below it.
 */

import type { Reply } from '../requests.ts';
import type { Fail } from './failing.ts';
import { type History, sameValue } from './history.ts';

type Written = Extract<Reply, { readonly kind: 'written' }>;
type ReadReply = Extract<Reply, { readonly kind: 'read' }>;

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

  /** What every operation that begins now has to see. */
  get floor(): number {
    return this.#floor;
  }

  get writes(): number {
    return this.#writes;
  }

  get reads(): number {
    return this.#reads;
  }

  /** A client hears that its write took effect; the write began when the floor was `floor`. */
  wrote(client: string, sequence: number, reply: Written, floor: number): void {
    const { index, outcome } = reply;
    const command = this.#history.commandAt(index);
    const expected = this.#history.outcomeAt(index);
    const facts = { client, sequence, index, floor, command: JSON.stringify(command) };
    if (command?.client !== client || command.sequence !== sequence) {
      this.#fail('writes survive', 'what is acknowledged is committed', facts);
    }
    const effect = outcome?.index ?? 0;
    if (expected === undefined || outcome === undefined || effect !== expected.index) {
      this.#fail('writes survive', 'a client is told what the log says', { ...facts, effect });
    }
    if (effect <= floor) {
      const more = { ...facts, effect };
      this.#fail('writes survive', 'a write takes effect after it began', more);
    }
    this.#floor = Math.max(this.#floor, index);
    this.#writes++;
  }

  /** A client is given the value of `key`. */
  read(client: string, key: string, reply: ReadReply, floor: number): void {
    const { confirmed, applied, value } = reply;
    const expected = this.#history.valueAt(key, applied);
    const facts = { client, key, confirmed, applied, floor };
    if (applied < floor || confirmed < floor) {
      this.#fail('reads', 'a read sees everything that was answered before it began', facts);
    }
    if (!sameValue(value, expected)) {
      const more = { ...facts, found: JSON.stringify(value), expected: JSON.stringify(expected) };
      this.#fail('reads', 'a read returns the value at its position', more);
    }
    this.#floor = Math.max(this.#floor, applied);
    this.#reads++;
  }
}
