/** What becomes of proposals: in the log no more often than proposed, never after they were dropped, and no stale singleton. */

import type { CommandOrigin } from '../../../src/store/commands.ts';
import { decodeCommand } from '../../../src/store/commands.ts';
import type { Fail } from './failing.ts';
import type { Outcome } from './store-model.ts';

type Fate = { proposed: number; dropped: number; committed: number };

export class ProposalCheckers {
  readonly #fail: Fail;
  readonly #fates = new Map<string, Fate>();
  readonly #newestFence = new Map<string, number>();

  constructor(fail: Fail) {
    this.#fail = fail;
  }

  /** A client hands `data` to consensus, once. */
  proposed(data: Uint8Array): string {
    const command = decodeCommand(data);
    const name = typeof command === 'string' ? '' : nameOf(command);
    this.#fate(name).proposed++;
    return name;
  }

  /** Consensus answers that this proposal certainly has no effect. */
  dropped(name: string): void {
    const fate = this.#fate(name);
    fate.dropped++;
    this.#check(name, fate);
  }

  /** A command is in the log, at `index`, for good. */
  committed(index: number, { command, result, repeated }: Outcome): void {
    if (command === undefined) return;
    const name = nameOf(command);
    const fate = this.#fate(name);
    fate.committed++;
    this.#check(name, fate);
    // A copy has the answer of the first, and no effect.
    if (!repeated) this.#checkFence(index, command, result.kind);
  }

  #checkFence(index: number, command: NonNullable<Outcome['command']>, kind: string): void {
    if (command.kind === 'claim') {
      if (kind !== 'claimed') return;
      const newest = this.#newestFence.get(command.name) ?? 0;
      this.#newestFence.set(command.name, Math.max(newest, command.term));
      return;
    }
    const { fence } = command.transaction;
    if (fence === undefined || kind !== 'committed') return;
    const newest = this.#newestFence.get(fence.name) ?? 0;
    if (fence.term >= newest) return;
    const facts = { index, term: fence.term, newest };
    this.#fail('fencing', 'nothing of a stale singleton takes effect', facts);
  }

  #check(name: string, fate: Fate): void {
    if (fate.committed <= fate.proposed - fate.dropped) return;
    const facts = { proposal: name, ...fate };
    this.#fail('applied once', 'a proposal is in the log once, and not at all if dropped', facts);
  }

  #fate(name: string): Fate {
    let fate = this.#fates.get(name);
    if (fate === undefined) {
      fate = { proposed: 0, dropped: 0, committed: 0 };
      this.#fates.set(name, fate);
    }
    return fate;
  }
}

function nameOf({ client, sequence }: CommandOrigin): string {
  return `${client}:${sequence}`;
}
