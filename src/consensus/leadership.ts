/**
 * Who leads, for those who act on it. `gained` comes after the no-op of the term is applied here: from then on the
 * local state holds everything that earlier leaders were acknowledged.
 */

import type { Entry, NodeId, RaftStatus, Term } from '../../raft/types.ts';
import type { Logger } from '../lib/logger.ts';
import type { LeadershipEvent } from './types.ts';

/** Follows one node's role. */
export class Leadership {
  readonly #logger: Logger;
  readonly #listeners = new Set<(event: LeadershipEvent) => void>();
  readonly #leaderWaiters = new Set<() => void>();
  #leader: NodeId | undefined;
  #leading: Term | undefined;
  #gained: Term | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Whom this node believes to lead. */
  get leader(): NodeId | undefined {
    return this.#leader;
  }

  /** Calls `wake` once, at the next change of leader; the returned function withdraws. */
  onNextLeader(wake: () => void): () => void {
    this.#leaderWaiters.add(wake);
    return () => void this.#leaderWaiters.delete(wake);
  }

  /** What changed: `leader` for any change, `lost` if leadership of this node ended. */
  observe(status: RaftStatus): { readonly leader: boolean; readonly lost: boolean } {
    const leading = status.role === 'leader' ? status.term : undefined;
    const lost = this.#leading !== undefined && leading !== this.#leading;
    this.#leading = leading;
    if (lost && this.#gained !== undefined) {
      const term = this.#gained;
      this.#gained = undefined;
      this.#emit({ kind: 'lost', term });
    }
    const leader = status.leader !== this.#leader;
    this.#leader = status.leader;
    if (leader) this.#wakeAll();
    return { leader, lost };
  }

  /** An entry is applied; a leader's own no-op completes its ascent. */
  applied(entry: Entry): void {
    if (entry.kind !== 'empty' || entry.term !== this.#leading || this.#gained !== undefined)
      return;
    this.#gained = entry.term;
    this.#emit({ kind: 'gained', term: entry.term });
  }

  subscribe(listener: (event: LeadershipEvent) => void): () => void {
    this.#listeners.add(listener);
    if (this.#gained !== undefined) this.#call(listener, { kind: 'gained', term: this.#gained });
    return () => void this.#listeners.delete(listener);
  }

  /** Ends whatever leads here and wakes whoever waits. */
  stop(): void {
    const term = this.#gained;
    this.#gained = undefined;
    this.#leading = undefined;
    if (term !== undefined) this.#emit({ kind: 'lost', term });
    this.#wakeAll();
  }

  #wakeAll(): void {
    const waiters = [...this.#leaderWaiters];
    this.#leaderWaiters.clear();
    for (const wake of waiters) wake();
  }

  #emit(event: LeadershipEvent): void {
    this.#logger.info(event, `leadership ${event.kind}`);
    for (const listener of this.#listeners) this.#call(listener, event);
  }

  /** What a listener throws must not reach the loop that drives raft. */
  #call(listener: (event: LeadershipEvent) => void, event: LeadershipEvent): void {
    try {
      listener(event);
    } catch (error) {
      this.#logger.error({ error, event }, 'a leadership listener threw');
    }
  }
}
